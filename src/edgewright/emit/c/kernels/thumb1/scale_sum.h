/* Multiplication by a fixed-point factor from 1/2 to 1, rounded to nearest, halves up, for Armv6-M, which multiplies to 32 bits only. */
#ifndef EW_SCALE_SUM_H
#define EW_SCALE_SUM_H

#include <stdint.h>

/* sum * multiplier / 2**31, for 2**30 <= multiplier: the upper word of the product with the doubled multiplier, from products of halves. */
static inline int32_t ew_scale_sum(int32_t sum, int32_t multiplier)
{
    const uint32_t low = (uint32_t)sum & 0xffffu, factor_low = (uint32_t)multiplier << 1 & 0xffffu, factor_high = (uint32_t)multiplier >> 15;
    const int32_t high = sum >> 16;
    const uint32_t inner = low * factor_high;
    const int32_t outer = high * (int32_t)factor_low;
    const uint32_t carried = (low * factor_low >> 16) + (inner & 0xffffu) + ((uint32_t)outer & 0xffffu) + 0x8000u;

    return high * (int32_t)factor_high + (int32_t)(inner >> 16) + (outer >> 16) + (int32_t)(carried >> 16);
}

#endif
