/* From a sum of one channel to a byte. */
#ifndef EW_RESCALE_CHANNEL_H
#define EW_RESCALE_CHANNEL_H

#include "depthwise_layer.h"
#include "requantize_within.h"
#include "rescale_sum.h"

/* How the sums of one output channel begin, and how they are rescaled. `simple`: the shift is -2 or less, and the bounds are those of int8;
 * then right = -1 - shift and offset = 2 * zero_point + 1 say the same as shift and zero_point. */
struct ew_channel {
    int32_t bias, multiplier, right, offset;
    int32_t simple;
    struct ew_bounds bounds;
};

static inline struct ew_channel ew_channel_of(const struct ew_depthwise_layer *layer, int32_t index)
{
    const struct ew_channel channel = {layer->bias[index],
                                       layer->multiplier[index],
                                       -1 - layer->shift[index],
                                       2 * layer->output_zero_point + 1,
                                       layer->simple && layer->shift[index] < -1,
                                       {layer->output_zero_point, layer->output_min, layer->output_max}};

    return channel;
}

static inline int8_t ew_rescale_channel(const struct ew_channel *channel, int32_t sum)
{
    if (channel->simple) {
        return ew_rescale_sum(sum, channel->multiplier, channel->right, channel->offset);
    }
    return ew_requantize_within(sum, channel->multiplier, -1 - channel->right, &channel->bounds);
}

#endif
