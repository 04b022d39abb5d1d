/* From a sum of one channel to a byte. */
#ifndef EW_RESCALE_CHANNEL_H
#define EW_RESCALE_CHANNEL_H

#include "clamp.h"
#include "requantize.h"
#include "simd.h"

/* How the sums of one output channel are rescaled: `doubled` is twice the multiplier, modulo 2**32. `simple`: the shift is negative and the
 * bounds are those of int8; then right = -1 - shift and offset = 2 * zero_point + 1 say the same as shift and zero_point. */
struct ew_channel {
    struct {
        int32_t doubled, right;
    } factor;
    int32_t offset, bias;
    int32_t simple, shift, zero_point, low, high;
};

static inline int8_t ew_rescale_channel(const struct ew_channel *channel, int32_t sum)
{
    if (channel->simple) {
        return (int8_t)ew_rescale(sum, channel->factor.doubled, channel->factor.right, channel->offset);
    }
    return ew_clamp(ew_requantize(sum, (int32_t)((uint32_t)channel->factor.doubled >> 1), channel->shift), channel->zero_point, channel->low, channel->high);
}

#endif
