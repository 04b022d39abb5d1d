/* From a sum of one channel to a byte. */
#ifndef EW_RESCALE_CHANNEL_H
#define EW_RESCALE_CHANNEL_H

#include "clamp.h"
#include "requantize.h"
#include "rescale_sum.h"

/* How the sums of one output channel begin, and how they are rescaled. `simple`: the shift is -2 or less, and the bounds are those of int8;
 * then right = -1 - shift and offset = 2 * zero_point + 1 say the same as shift and zero_point. */
struct ew_channel {
    int32_t bias, multiplier, right, offset;
    int32_t simple, shift, zero_point, low, high;
};

static inline int8_t ew_rescale_channel(const struct ew_channel *channel, int32_t sum)
{
    if (channel->simple) {
        return ew_rescale_sum(sum, channel->multiplier, channel->right, channel->offset);
    }
    return ew_clamp(ew_requantize(sum, channel->multiplier, channel->shift), channel->zero_point, channel->low, channel->high);
}

#endif
