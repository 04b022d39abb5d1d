/* Product of two Q0.31 numbers. */
#ifndef EW_HIGH_MULTIPLY_H
#define EW_HIGH_MULTIPLY_H

#include <stdint.h>

/* a * b / 2**31 rounded to the nearest integer (halves up); not both operands are -2**31. */
static inline int32_t ew_high_multiply(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

#endif
