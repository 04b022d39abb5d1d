/* Multiplication by a fixed-point factor from 1/2 to 1, rounded to nearest, halves up, for RV32. */
#ifndef EW_SCALE_SUM_H
#define EW_SCALE_SUM_H

#include <stdint.h>

/* sum * multiplier / 2**31, for 2**30 <= multiplier: the upper word of the product with the doubled multiplier, which MULHSU gives. */
static inline int32_t ew_scale_sum(int32_t sum, int32_t multiplier)
{
    const int64_t product = (int64_t)sum * (int64_t)((uint32_t)multiplier << 1);

    return (int32_t)(product >> 32) + (int32_t)((uint32_t)product >> 31);
}

#endif
