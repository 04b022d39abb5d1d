/* The inner loop of the matrix products for Armv6-M: four rows of weights with two columns of inputs. */
#ifndef EW_MULTIPLY_4X2_H
#define EW_MULTIPLY_4X2_H

#include "kernel.h"
#include "multiply_add.h"

#if defined(EW_ASSEMBLY) && defined(__thumb__) && !defined(__thumb2__)
/* A weight with both inputs: two multiplications, seven instructions. */
#define EW_MULTIPLY_2X2_ROW(place, s, t)          \
    "ldrb %[w], [%[weights], #" place "]\n\t"     \
    "sxtb %[w], %[w]\n\t"                         \
    "mov %[v], %[w]\n\t"                          \
    "muls %[v], %[a], %[v]\n\t"                   \
    "add " s ", " s ", %[v]\n\t"                  \
    "muls %[w], %[b], %[w]\n\t"                   \
    "add " t ", " t ", %[w]\n\t"
#endif

/* Two of four interleaved rows; `x0` and `x1` are where the columns end. */
static inline void ew_multiply_2x2(const int8_t *weights, const int8_t *x0, const int8_t *x1, int32_t length, int32_t sums[4])
{
    int32_t a0 = sums[0], b0 = sums[1], a1 = sums[2], b1 = sums[3];

#if defined(EW_MULTIPLY_2X2_ROW)
    /* Eight registers for addresses and numbers; the sums stand in the others, which only additions reach. */
    int32_t k = -length, a, b, w, v;

    __asm__ volatile(".syntax unified\n"
                     "1:\n\t"
                     "ldrsb %[a], [%[x0], %[k]]\n\t"
                     "ldrsb %[b], [%[x1], %[k]]\n\t"
                     EW_MULTIPLY_2X2_ROW("0", "%[a0]", "%[b0]") EW_MULTIPLY_2X2_ROW("1", "%[a1]", "%[b1]")
                     "adds %[weights], %[weights], #4\n\t"
                     "adds %[k], %[k], #1\n\t"
                     "bne 1b\n\t"
                     : [a0] "+h"(a0), [b0] "+h"(b0), [a1] "+h"(a1), [b1] "+h"(b1), [weights] "+l"(weights), [k] "+l"(k), [a] "=&l"(a), [b] "=&l"(b),
                       [w] "=&l"(w), [v] "=&l"(v)
                     : [x0] "l"(x0), [x1] "l"(x1)
                     : "cc", "memory");
#else
    for (int32_t k = -length; k != 0; k++) {
        a0 = ew_multiply_add(a0, weights[0], x0[k]);
        b0 = ew_multiply_add(b0, weights[0], x1[k]);
        a1 = ew_multiply_add(a1, weights[1], x0[k]);
        b1 = ew_multiply_add(b1, weights[1], x1[k]);
        weights += 4;
    }
#endif
    sums[0] = a0;
    sums[1] = b0;
    sums[2] = a1;
    sums[3] = b1;
}

/* `weights`: four rows, interleaved byte by byte. sums[2 * r + c] += row r with column c. Returns the end of the weights. At least one step. */
static inline const int8_t *ew_multiply_4x2(const int8_t *weights, const int8_t *x0, const int8_t *x1, int32_t length, int32_t sums[8])
{
    for (int row = 0; row < 4; row += 2) {
        ew_multiply_2x2(weights + row, x0 + length, x1 + length, length, sums + 2 * row);
    }
    return weights + 4 * length;
}

#endif
