/* Multiplication by a power of two within 32 bits. */
#ifndef EW_SATURATING_SHIFT_H
#define EW_SATURATING_SHIFT_H

#include <stdint.h>

/* x * 2**bits, held at the ends of int32; bits from 0 to 30. */
static inline int32_t ew_saturating_shift(int32_t x, int32_t bits)
{
    const int32_t most = INT32_MAX >> bits;

    if (x > most) {
        return INT32_MAX;
    }
    return x < -most - 1 ? INT32_MIN : x * ((int32_t)1 << bits);
}

#endif
