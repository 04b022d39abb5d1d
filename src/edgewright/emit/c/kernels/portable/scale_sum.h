/* Multiplication by a fixed-point factor from 1/2 to 1, rounded to nearest, halves up. */
#ifndef EW_SCALE_SUM_H
#define EW_SCALE_SUM_H

#include <stdint.h>

/* sum * multiplier / 2**31, for 2**30 <= multiplier. */
static inline int32_t ew_scale_sum(int32_t sum, int32_t multiplier)
{
    return (int32_t)(((int64_t)sum * multiplier + ((int64_t)1 << 30)) >> 31);
}

#endif
