/* The inner loop of the matrix products: two rows of weights with four columns of inputs. */
#ifndef EW_DOT_2X4_H
#define EW_DOT_2X4_H

#include "simd.h"

#if defined(__ARM_FEATURE_DSP) && defined(__OPTIMIZE__) && !defined(__clang__)
/* Two steps, sixteen multiplications, 52 bytes of code. */
#define EW_DOT_2X4_TWO_STEPS                  \
    "ldrd %[x], %[y], [%[columns]], #8\n\t"   \
    "ldr %[w], [%[weights]], #4\n\t"          \
    "sxtb16 %[v], %[w], ror #8\n\t"           \
    "sxtb16 %[w], %[w]\n\t"                   \
    "smlad %[a0], %[w], %[x], %[a0]\n\t"      \
    "smlad %[b0], %[v], %[x], %[b0]\n\t"      \
    "smlad %[a1], %[w], %[y], %[a1]\n\t"      \
    "smlad %[b1], %[v], %[y], %[b1]\n\t"      \
    "ldrd %[x], %[y], [%[columns]], #8\n\t"   \
    "smlad %[a2], %[w], %[x], %[a2]\n\t"      \
    "smlad %[b2], %[v], %[x], %[b2]\n\t"      \
    "smlad %[a3], %[w], %[y], %[a3]\n\t"      \
    "smlad %[b3], %[v], %[y], %[b3]\n\t"
#define EW_DOT_2X4_FOUR_STEPS EW_DOT_2X4_TWO_STEPS EW_DOT_2X4_TWO_STEPS
#endif

/* For each four steps k ... k+3 of the sums, `weights` has 8 bytes: of step k the first row's and the second row's, of k+2 the same, then
 * k+1 and k+3; `columns` has 8 words: (k, k+2) as two halves for each of the four columns, then (k+1, k+3). `columns` ends at `end`.
 * The bias of the first row plus its products with column c goes to sums[c], that of the second to sums[4 + c]. At least four steps. Returns the end of the weights. */
static inline const int8_t *ew_dot_2x4(const int8_t *weights, const int32_t *columns, const int32_t *end, const int32_t bias[2], int32_t sums[8])
{
    int32_t a0 = bias[0], a1 = a0, a2 = a0, a3 = a0;
    int32_t b0 = bias[1], b1 = b0, b2 = b0, b3 = b0;

#if defined(EW_DOT_2X4_FOUR_STEPS)
    /* Fourteen registers are all there are: eight sums, two addresses, four numbers. The loop makes sixteen steps; it is entered at
     * what is left of a multiple of them. */
    const int32_t skip = (-(int32_t)((end - columns) / 8) & 3) * 104;
    int32_t x, y, w, v;

    __asm__ volatile("ldr %[x], %[skip]\n\t"
                     "add pc, %[x]\n\t"
                     "nop\n"
                     "1:\n\t" EW_DOT_2X4_FOUR_STEPS EW_DOT_2X4_FOUR_STEPS EW_DOT_2X4_FOUR_STEPS EW_DOT_2X4_FOUR_STEPS
                     "ldr %[x], %[end]\n\t"
                     "cmp %[columns], %[x]\n\t"
                     "bne 1b\n\t"
                     : [a0] "+r"(a0), [a1] "+r"(a1), [a2] "+r"(a2), [a3] "+r"(a3), [b0] "+r"(b0), [b1] "+r"(b1), [b2] "+r"(b2), [b3] "+r"(b3),
                       [weights] "+r"(weights), [columns] "+r"(columns), [x] "=&r"(x), [y] "=&r"(y), [w] "=&r"(w), [v] "=&r"(v)
                     : [end] "m"(end), [skip] "m"(skip)
                     : "cc", "memory");
#else
    for (; columns != end; columns += 4) {
        const int32_t word = ew_load(weights);
        const int32_t w = ew_even(word);
        const int32_t v = ew_odd(word);

        a0 = ew_dot(w, columns[0], a0);
        a1 = ew_dot(w, columns[1], a1);
        a2 = ew_dot(w, columns[2], a2);
        a3 = ew_dot(w, columns[3], a3);
        b0 = ew_dot(v, columns[0], b0);
        b1 = ew_dot(v, columns[1], b1);
        b2 = ew_dot(v, columns[2], b2);
        b3 = ew_dot(v, columns[3], b3);
        weights += 4;
    }
#endif
    sums[0] = a0;
    sums[1] = a1;
    sums[2] = a2;
    sums[3] = a3;
    sums[4] = b0;
    sums[5] = b1;
    sums[6] = b2;
    sums[7] = b3;
    return weights;
}

#endif
