/* The inner loop for a row of weights that is left over: one row with four columns of inputs. */
#ifndef EW_DOT_1X4_H
#define EW_DOT_1X4_H

#include "simd.h"

/* `weights` in their order, `columns` as for ew_dot_2x4. */
static inline void ew_dot_1x4(const int8_t *weights, const int32_t *columns, const int32_t *end, int32_t bias, int32_t sums[4])
{
    int32_t a0 = bias, a1 = bias, a2 = bias, a3 = bias;

    for (; columns != end; columns += 8) {
        const int32_t word = ew_load(weights);
        const int32_t w = ew_even(word);
        const int32_t v = ew_odd(word);

        a0 = ew_dot(v, columns[4], ew_dot(w, columns[0], a0));
        a1 = ew_dot(v, columns[5], ew_dot(w, columns[1], a1));
        a2 = ew_dot(v, columns[6], ew_dot(w, columns[2], a2));
        a3 = ew_dot(v, columns[7], ew_dot(w, columns[3], a3));
        weights += 4;
    }
    sums[0] = a0;
    sums[1] = a1;
    sums[2] = a2;
    sums[3] = a3;
}

#endif
