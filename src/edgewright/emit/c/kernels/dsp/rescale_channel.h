/* From a sum of one channel to a byte. */
#ifndef EW_RESCALE_CHANNEL_H
#define EW_RESCALE_CHANNEL_H

#include "depthwise_layer.h"
#include "requantize_within.h"
#include "simd.h"

/* How the sums of one output channel are rescaled: `doubled` is twice the multiplier, modulo 2**32. `simple`: the shift is negative and the
 * bounds are those of int8; then right = -1 - shift and offset = 2 * zero_point + 1 say the same as shift and zero_point. */
struct ew_channel {
    struct {
        int32_t doubled, right;
    } factor;
    int32_t offset, bias;
    int32_t simple;
    struct ew_bounds bounds;
};

static inline struct ew_channel ew_channel_of(const struct ew_depthwise_layer *layer, int32_t index)
{
    const struct ew_channel channel = {{layer->multiplier[index], -1 - layer->shift[index]},
                                       2 * layer->output_zero_point + 1,
                                       layer->bias[index],
                                       layer->simple,
                                       {layer->output_zero_point, layer->output_min, layer->output_max}};

    return channel;
}

static inline int8_t ew_rescale_channel(const struct ew_channel *channel, int32_t sum)
{
    const int32_t doubled = channel->factor.doubled;
    const int32_t right = channel->factor.right;

    if (channel->simple) {
        return (int8_t)ew_rescale(sum, doubled, right, channel->offset);
    }
    return ew_requantize_within(sum, (int32_t)((uint32_t)doubled >> 1), -1 - right, &channel->bounds);
}

#endif
