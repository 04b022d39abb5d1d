/* The inner loop of the matrix products: four rows of weights with two columns of inputs. */
#ifndef EW_MULTIPLY_4X2_H
#define EW_MULTIPLY_4X2_H

#include "kernel.h"
#include "multiply_add.h"

/* `weights`: four rows, interleaved byte by byte. sums[2 * r + c] += row r with column c. Returns the end of the weights. */
static inline const int8_t *ew_multiply_4x2(const int8_t *weights, const int8_t *x0, const int8_t *x1, int32_t length, int32_t sums[8])
{
    int32_t a0 = sums[0], b0 = sums[1], a1 = sums[2], b1 = sums[3], a2 = sums[4], b2 = sums[5], a3 = sums[6], b3 = sums[7];
    const int8_t *const end = x0 + length;

    while (x0 != end) {
        const int32_t a = *x0++, b = *x1++;

        a0 = ew_multiply_add(a0, weights[0], a);
        b0 = ew_multiply_add(b0, weights[0], b);
        a1 = ew_multiply_add(a1, weights[1], a);
        b1 = ew_multiply_add(b1, weights[1], b);
        a2 = ew_multiply_add(a2, weights[2], a);
        b2 = ew_multiply_add(b2, weights[2], b);
        a3 = ew_multiply_add(a3, weights[3], a);
        b3 = ew_multiply_add(b3, weights[3], b);
        weights += 4;
    }
    sums[0] = a0;
    sums[1] = b0;
    sums[2] = a1;
    sums[3] = b1;
    sums[4] = a2;
    sums[5] = b2;
    sums[6] = a3;
    sums[7] = b3;
    return weights;
}

#endif
