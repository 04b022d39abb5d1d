/* Sums of products of int16 inputs with weights of 8 or 16 bits. */
#ifndef EW_DOT_WIDE_H
#define EW_DOT_WIDE_H

#include "kernel.h"

/* So many products of int16 and int8 stay within a 32-bit sum, whatever they are. */
#define EW_WIDE_BLOCK 256

/* The weights of `words` are int16, else int8. `narrow`: no partial sum leaves 32 bits. */
EW_INLINE int64_t ew_dot_wide(const int16_t *x, const void *weights, int32_t length, int words, int narrow)
{
    int64_t sum = 0;

    if (words) {
        const int16_t *w = weights;

        for (int32_t k = 0; k < length; k++) {
            sum += x[k] * w[k];
        }
    } else {
        const int8_t *w = weights;

        for (int32_t k = 0; k < length;) {
            const int32_t end = narrow || length - k < EW_WIDE_BLOCK ? length : k + EW_WIDE_BLOCK;
            int32_t part = 0;

            for (; k < end; k++) {
                part += x[k] * w[k];
            }
            sum += part;
        }
    }
    return sum;
}

#endif
