/* The inner loop of the matrix products for Armv7-M: four rows of weights with two columns of inputs. */
#ifndef EW_MULTIPLY_4X2_H
#define EW_MULTIPLY_4X2_H

#include "kernel.h"
#include "multiply_add.h"

#if defined(EW_ASSEMBLY) && defined(__thumb2__)
/* One step: eight multiplications, 56 bytes of code. */
#define EW_MULTIPLY_4X2_STEP          \
    "ldrsb %[x], [%[x0]], #1\n\t"     \
    "ldrsb %[w], [%[weights]], #1\n\t" \
    "ldrsb %[y], [%[x1]], #1\n\t"     \
    "mla %[a0], %[w], %[x], %[a0]\n\t" \
    "mla %[b0], %[w], %[y], %[b0]\n\t" \
    "ldrsb %[w], [%[weights]], #1\n\t" \
    "mla %[a1], %[w], %[x], %[a1]\n\t" \
    "mla %[b1], %[w], %[y], %[b1]\n\t" \
    "ldrsb %[w], [%[weights]], #1\n\t" \
    "mla %[a2], %[w], %[x], %[a2]\n\t" \
    "mla %[b2], %[w], %[y], %[b2]\n\t" \
    "ldrsb %[w], [%[weights]], #1\n\t" \
    "mla %[a3], %[w], %[x], %[a3]\n\t" \
    "mla %[b3], %[w], %[y], %[b3]\n\t"
#define EW_MULTIPLY_4X2_FOUR_STEPS EW_MULTIPLY_4X2_STEP EW_MULTIPLY_4X2_STEP EW_MULTIPLY_4X2_STEP EW_MULTIPLY_4X2_STEP
#endif

/* `weights`: four rows, interleaved byte by byte. sums[2 * r + c] += row r with column c. Returns the end of the weights. At least one step. */
static inline const int8_t *ew_multiply_4x2(const int8_t *weights, const int8_t *x0, const int8_t *x1, int32_t length, int32_t sums[8])
{
    int32_t a0 = sums[0], b0 = sums[1], a1 = sums[2], b1 = sums[3], a2 = sums[4], b2 = sums[5], a3 = sums[6], b3 = sums[7];

#if defined(EW_MULTIPLY_4X2_FOUR_STEPS)
    /* Fourteen registers: eight sums, three addresses, three numbers. Eight steps at a time; the loop is entered at what is left of them. */
    const int8_t *const end = x0 + length;
    const int32_t skip = (-length & 7) * 56;
    int32_t x, y, w;

    __asm__ volatile("ldr %[x], %[skip]\n\t"
                     "add pc, %[x]\n\t"
                     "nop\n"
                     "1:\n\t" EW_MULTIPLY_4X2_FOUR_STEPS EW_MULTIPLY_4X2_FOUR_STEPS
                     "ldr %[x], %[end]\n\t"
                     "cmp %[x0], %[x]\n\t"
                     "bne 1b\n\t"
                     : [a0] "+r"(a0), [b0] "+r"(b0), [a1] "+r"(a1), [b1] "+r"(b1), [a2] "+r"(a2), [b2] "+r"(b2), [a3] "+r"(a3), [b3] "+r"(b3),
                       [weights] "+r"(weights), [x0] "+r"(x0), [x1] "+r"(x1), [x] "=&r"(x), [y] "=&r"(y), [w] "=&r"(w)
                     : [end] "m"(end), [skip] "m"(skip)
                     : "cc", "memory");
#else
    for (; length > 0; length--) {
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
#endif
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
