/* Dense layer, one vector after the other, with the DSP instructions: int8 input, weights and output. */
#ifndef EW_DENSE_S8_H
#define EW_DENSE_S8_H

#include "kernel.h"
#include "requantize_within.h"
#include "simd.h"

/* Weights: blocks of four rows, then the rows left over as they are. A block has for each four inputs the bytes
 * r0[0] r1[0] r0[2] r1[2], r0[1] r1[1] r0[3] r1[3] and the same of r2 and r3, with 128 added to those of r0 and r2; the inputs left over
 * follow as r0[k] r1[k] r2[k] r3[k]. The bias holds -zero_point * sum(weights) of its row. `multiplier` holds twice the multiplier,
 * modulo 2**32. */
struct ew_dense_s8 {
    int32_t inputs, outputs, vectors;
    int32_t simple; /* 1: every shift is negative, and the bounds are those of int8 */
    int32_t output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* Inputs, in whole words, for which 256 times the sum of a row fits 32 bits. */
#define EW_DENSE_RUN 508

#if defined(EW_ASSEMBLY) && defined(__ARM_FEATURE_DSP)
#define EW_DENSE_PAIR(low, both, word, halves)           \
    "smlad " both ", " word ", " halves ", " both "\n\t" \
    "uxtb16 " word ", " word "\n\t"                      \
    "smlad " low ", " word ", " halves ", " low "\n\t"
#define EW_DENSE_WORD                                  \
    "ldr %[even], [%[input]], #4\n\t"                  \
    "ldr %[a], [%[weights]], #16\n\t"                  \
    "ldr %[b], [%[weights], #-12]\n\t"                 \
    "ldr %[c], [%[weights], #-8]\n\t"                  \
    "ldr %[d], [%[weights], #-4]\n\t"                  \
    "sxtb16 %[odd], %[even], ror #8\n\t"               \
    "sxtb16 %[even], %[even]\n\t"                      \
    EW_DENSE_PAIR("%[s0]", "%[s1]", "%[a]", "%[even]") \
    EW_DENSE_PAIR("%[s0]", "%[s1]", "%[b]", "%[odd]")  \
    EW_DENSE_PAIR("%[s2]", "%[s3]", "%[c]", "%[even]") \
    EW_DENSE_PAIR("%[s2]", "%[s3]", "%[d]", "%[odd]")
#else
/* Of two rows: low += that of the first, both += the first plus 256 times the second. */
static inline void ew_dense_pair(const int8_t *weights, int32_t even, int32_t odd, int32_t *low, int32_t *both)
{
    const int32_t a = ew_load(weights), b = ew_load(weights + 4);

    *both = ew_dot(b, odd, ew_dot(a, even, *both));
    *low = ew_dot(b & 0xff00ff, odd, ew_dot(a & 0xff00ff, even, *low));
}
#endif

/* sum + (both - low) / 256, modulo 2**32. */
static inline int32_t ew_dense_second(int32_t sum, int32_t both, int32_t low)
{
    return (int32_t)((uint32_t)sum + (uint32_t)((int32_t)((uint32_t)both - (uint32_t)low) >> 8));
}

/* sums[i] += row i of a block with the input. Two rows share a multiplication: each half of a word of weights is a byte of one row, as it
 * lies there without a sign, plus 256 times that of the other. */
static inline void ew_dense_four(const int8_t *weights, const int8_t *input, int32_t length, int32_t sums[4])
{
    const int8_t *const words = input + (length & ~3);
    int32_t s0 = sums[0], s2 = sums[2];

    while (input != words) {
        const int8_t *const end = words - input > EW_DENSE_RUN ? input + EW_DENSE_RUN : words;
        int32_t s1 = s0, s3 = s2;
#if defined(EW_DENSE_WORD)
        int32_t even = (int32_t)(end - input), odd, a, b, c, d;

        __asm__ volatile("tst %[even], #4\n\t"
                         "bne 2f\n\t"
                         "1:\n\t" EW_DENSE_WORD "2:\n\t" EW_DENSE_WORD "cmp %[input], %[end]\n\t"
                         "bne 1b\n\t"
                         : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [weights] "+r"(weights), [input] "+&r"(input),
                           [even] "+&r"(even), [odd] "=&r"(odd), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d)
                         : [end] "r"(end)
                         : "cc", "memory");
#else
        for (; input != end; input += 4, weights += 16) {
            const int32_t word = ew_load(input);

            ew_dense_pair(weights, ew_even(word), ew_odd(word), &s0, &s1);
            ew_dense_pair(weights + 8, ew_even(word), ew_odd(word), &s2, &s3);
        }
#endif
        sums[1] = ew_dense_second(sums[1], s1, s0);
        sums[3] = ew_dense_second(sums[3], s3, s2);
    }
    sums[0] = s0;
    sums[2] = s2;
#if !defined(EW_DENSE_WHOLE_WORDS)
    for (int32_t k = 0; k < length % 4; k++, weights += 4) {
        for (int32_t i = 0; i < 4; i++) {
            sums[i] = ew_dot_low_low(weights[i], input[k], sums[i]);
        }
    }
#endif
}

#if !defined(EW_DENSE_WHOLE_BLOCKS)
/* sum + a row with the input. */
static inline int32_t ew_dense_one(const int8_t *weights, const int8_t *input, int32_t length, int32_t sum)
{
    const int8_t *const words = input + (length & ~3), *const end = input + length;

    for (; input != words; input += 4, weights += 4) {
        const int32_t x = ew_load(input), w = ew_load(weights);

        sum = ew_dot(ew_odd(w), ew_odd(x), ew_dot(ew_even(w), ew_even(x), sum));
    }
    while (input != end) {
        sum = ew_dot_low_low(*weights++, *input++, sum);
    }
    return sum;
}
#endif

/* sum + the four bytes of a word, 128 added to each. */
static inline uint32_t ew_dense_add(uint32_t sum, const int8_t *from)
{
#if defined(__ARM_FEATURE_DSP)
    __asm__("usada8 %0, %1, %2, %0" : "+r"(sum) : "r"((uint32_t)ew_load(from) ^ 0x80808080u), "r"(0));
    return sum;
#else
    return sum + (uint32_t)(from[0] + from[1] + from[2] + from[3] + 512);
#endif
}

/* 128 times the sum of `length` bytes, a whole number of words, modulo 2**32. */
static inline uint32_t ew_dense_offset(const int8_t *input, int32_t length)
{
    const int8_t *const end = input + length;
    uint32_t sum = 0;

    for (; end - input >= 16; input += 16) {
        sum = ew_dense_add(ew_dense_add(ew_dense_add(ew_dense_add(sum, input), input + 4), input + 8), input + 12);
    }
    for (; input != end; input += 4) {
        sum = ew_dense_add(sum, input);
    }
    return (sum - 128 * (uint32_t)length) * 128;
}

/* `many` outputs from `row` on. */
static inline void ew_dense_put(const struct ew_dense_s8 *layer, int32_t row, int32_t many, const int32_t *sums,
                                const struct ew_bounds *bounds, int8_t *output)
{
    const int32_t *const multiplier = layer->multiplier + row;
    const int8_t *const shift = layer->shift + row;

    if (layer->simple) {
        const int32_t offset = 2 * bounds->zero_point + 1;

        for (int32_t i = 0; i < many; i++) {
            output[i] = (int8_t)ew_rescale(sums[i], multiplier[i], -1 - shift[i], offset);
        }
    } else {
        for (int32_t i = 0; i < many; i++) {
            output[i] = ew_requantize_within(sums[i], (int32_t)((uint32_t)multiplier[i] >> 1), shift[i], bounds);
        }
    }
}

EW_KERNEL void ew_dense_s8(const struct ew_dense_s8 *layer, const int8_t *input, int8_t *output)
{
    const struct ew_bounds bounds = {layer->output_zero_point, layer->output_min, layer->output_max};
    const int32_t length = layer->inputs, rows = layer->outputs;

    for (const int8_t *const end = input + layer->vectors * length; input != end; input += length, output += rows) {
        const uint32_t above = rows < 4 ? 0 : ew_dense_offset(input, length & ~3);

        for (int32_t row = 0, many; row < rows; row += many) {
            const int8_t *const weights = layer->weights + row * length;
            const int32_t *const bias = layer->bias + row;
            int32_t sums[4];

#if !defined(EW_DENSE_WHOLE_BLOCKS)
            if (rows - row < 4) {
                many = 1;
                sums[0] = ew_dense_one(weights, input, length, bias[0]);
            } else
#endif
            {
                many = 4;
                sums[0] = (int32_t)((uint32_t)bias[0] - above);
                sums[1] = bias[1];
                sums[2] = (int32_t)((uint32_t)bias[2] - above);
                sums[3] = bias[3];
                ew_dense_four(weights, input, length, sums);
            }
            ew_dense_put(layer, row, many, sums, &bounds, output + row);
        }
    }
}

#endif
