/* The inner loop of the matrix products for RV32: four rows of weights with two columns of inputs. */
#ifndef EW_MULTIPLY_4X2_H
#define EW_MULTIPLY_4X2_H

#include "kernel.h"
#include "multiply_add.h"

#if defined(EW_ASSEMBLY) && defined(__riscv_mul)
/* A weight with both inputs. */
#define EW_MULTIPLY_4X2_ROW(place, s, t)         \
    "lb %[w], " place "(%[weights])\n\t"         \
    "mul %[u], %[w], %[a]\n\t"                   \
    "mul %[v], %[w], %[b]\n\t"                   \
    "add " s ", " s ", %[u]\n\t"                 \
    "add " t ", " t ", %[v]\n\t"
/* One step: eight multiplications, 22 instructions. */
#define EW_MULTIPLY_4X2_STEP(k, w0, w1, w2, w3)                                               \
    "lb %[a], " k "(%[x0])\n\t"                                                               \
    "lb %[b], " k "(%[x1])\n\t"                                                               \
    EW_MULTIPLY_4X2_ROW(w0, "%[a0]", "%[b0]") EW_MULTIPLY_4X2_ROW(w1, "%[a1]", "%[b1]")       \
    EW_MULTIPLY_4X2_ROW(w2, "%[a2]", "%[b2]") EW_MULTIPLY_4X2_ROW(w3, "%[a3]", "%[b3]")
#endif

/* `weights`: four rows, interleaved byte by byte. sums[2 * r + c] += row r with column c. Returns the end of the weights. At least one step. */
static inline const int8_t *ew_multiply_4x2(const int8_t *weights, const int8_t *x0, const int8_t *x1, int32_t length, int32_t sums[8])
{
    int32_t a0 = sums[0], b0 = sums[1], a1 = sums[2], b1 = sums[3], a2 = sums[4], b2 = sums[5], a3 = sums[6], b3 = sums[7];
    const int8_t *const end = x0 + length;

#if defined(EW_MULTIPLY_4X2_STEP)
    if (length >= 4) {
        const int8_t *const most = x0 + length / 4 * 4;
        int32_t a, b, w, u, v;

        __asm__ volatile("1:\n\t"
                         EW_MULTIPLY_4X2_STEP("0", "0", "1", "2", "3") EW_MULTIPLY_4X2_STEP("1", "4", "5", "6", "7")
                         EW_MULTIPLY_4X2_STEP("2", "8", "9", "10", "11") EW_MULTIPLY_4X2_STEP("3", "12", "13", "14", "15")
                         "addi %[x0], %[x0], 4\n\t"
                         "addi %[x1], %[x1], 4\n\t"
                         "addi %[weights], %[weights], 16\n\t"
                         "bne %[x0], %[most], 1b\n\t"
                         : [a0] "+r"(a0), [b0] "+r"(b0), [a1] "+r"(a1), [b1] "+r"(b1), [a2] "+r"(a2), [b2] "+r"(b2), [a3] "+r"(a3), [b3] "+r"(b3),
                           [weights] "+r"(weights), [x0] "+r"(x0), [x1] "+r"(x1), [a] "=&r"(a), [b] "=&r"(b), [w] "=&r"(w), [u] "=&r"(u),
                           [v] "=&r"(v)
                         : [most] "r"(most)
                         : "memory");
    }
#endif
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
