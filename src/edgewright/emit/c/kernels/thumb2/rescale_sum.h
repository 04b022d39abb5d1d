/* From a sum to a byte, where the bounds are those of int8, for Armv7-M. */
#ifndef EW_RESCALE_SUM_H
#define EW_RESCALE_SUM_H

#include "scale_sum.h"

/* x / 2, rounded down, held within int8. */
static inline int32_t ew_saturate_half(int32_t x)
{
#if defined(__GNUC__) && defined(__thumb2__)
    int32_t byte;

    __asm__("ssat %0, #8, %1, asr #1" : "=r"(byte) : "r"(x));
    return byte;
#else
    return x < -256 ? -128 : x > 255 ? 127 : x >> 1;
#endif
}

/* As ew_requantize and then ew_clamp, for a shift of -2 or less: right = -1 - shift, offset = 2 * zero_point + 1. */
static inline int8_t ew_rescale_sum(int32_t sum, int32_t multiplier, int32_t right, int32_t offset)
{
    const int32_t high = ew_scale_sum(sum, multiplier);

    return (int8_t)ew_saturate_half(((high + (high >> 31)) >> right) + offset);
}

#endif
