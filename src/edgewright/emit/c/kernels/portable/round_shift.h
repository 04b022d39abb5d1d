/* Division by a power of two, rounded to nearest, halves away from zero. */
#ifndef EW_ROUND_SHIFT_H
#define EW_ROUND_SHIFT_H

#include <stdint.h>

/* x / 2**bits; bits from 1 to 31, x > -2**31. */
static inline int32_t ew_round_shift(int32_t x, int32_t bits)
{
    const int32_t twice = (x + (x >> 31)) >> (bits - 1);

    return (twice >> 1) + (twice & 1);
}

#endif
