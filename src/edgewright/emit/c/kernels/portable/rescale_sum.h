/* From a sum to a byte, where the bounds are those of int8. */
#ifndef EW_RESCALE_SUM_H
#define EW_RESCALE_SUM_H

#include "scale_sum.h"

/* As ew_requantize and then ew_clamp, for a shift of -2 or less: right = -1 - shift, offset = 2 * zero_point + 1. */
static inline int8_t ew_rescale_sum(int32_t sum, int32_t multiplier, int32_t right, int32_t offset)
{
    const int32_t high = ew_scale_sum(sum, multiplier);
    int32_t x = (((high + (high >> 31)) >> right) + offset) >> 1;

    x = x < -128 ? -128 : x;
    return (int8_t)(x > 127 ? 127 : x);
}

#endif
