/* The sum of products of two runs of bytes. */
#ifndef EW_DOT_S8_H
#define EW_DOT_S8_H

#include "kernel.h"
#include "multiply_add.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_UNALIGNED)
#include <arm_acle.h>
#endif

/* sum + a[0] * b[0] + a[1] * b[1] + ... , `count` products (at least one), modulo 2**32. */
static inline int32_t ew_dot_s8(const int8_t *a, const int8_t *b, int32_t count, int32_t sum)
{
    const int8_t *const end = a + count;

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_UNALIGNED)
    for (; end - a >= 4; a += 4) {
        uint32_t x, y;

        EW_COPY_4(&x, a);
        EW_COPY_4(&y, b);
        b += 4;
        sum = (int32_t)__smlad((int32_t)__sxtb16((int32_t)x), (int32_t)__sxtb16((int32_t)y), sum);
        sum = (int32_t)__smlad((int32_t)__sxtb16((int32_t)(x >> 8 | x << 24)), (int32_t)__sxtb16((int32_t)(y >> 8 | y << 24)), sum);
    }
#endif
    while (a != end) {
        sum = ew_multiply_add(sum, *a++, *b++);
    }
    return sum;
}

#endif
