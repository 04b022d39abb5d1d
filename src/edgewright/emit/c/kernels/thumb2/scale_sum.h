/* Multiplication by a fixed-point factor from 1/2 to 1, rounded to nearest, halves up, for Armv7-M. */
#ifndef EW_SCALE_SUM_H
#define EW_SCALE_SUM_H

#include <stdint.h>

/* sum * multiplier / 2**31, for 2**30 <= multiplier: the upper word of 2**32 * sum + sum * (2 * multiplier - 2**32) + 2**31, whose factor is a
 * signed word. */
static inline int32_t ew_scale_sum(int32_t sum, int32_t multiplier)
{
    const int32_t factor = (int32_t)((uint32_t)multiplier << 1);
    const uint64_t start = (uint64_t)(uint32_t)sum << 32 | 0x80000000u;

    return (int32_t)((start + (uint64_t)((int64_t)sum * factor)) >> 32);
}

#endif
