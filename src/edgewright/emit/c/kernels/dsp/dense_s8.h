/* Dense layer on one vector with the DSP instructions: int8 input, weights and output. */
#ifndef EW_DENSE_S8_H
#define EW_DENSE_S8_H

#include "kernel.h"
#include "requantize_within.h"
#include "simd.h"

/* Weights: one row of `inputs` bytes for each output. The bias holds -zero_point * sum(weights) of its row.
 * `multiplier` holds twice the multiplier, modulo 2**32. */
struct ew_dense_s8 {
    int32_t inputs, outputs;
    int32_t simple; /* 1: every shift is negative, and the bounds are those of int8 */
    int32_t output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

#if defined(EW_ASSEMBLY) && defined(__ARM_FEATURE_DSP)
#define EW_DENSE_ROW(sum, from)                 \
    "ldr %[w], [" from "], #4\n\t"              \
    "sxtb16 %[v], %[w], ror #8\n\t"             \
    "sxtb16 %[w], %[w]\n\t"                     \
    "smlad " sum ", %[w], %[even], " sum "\n\t" \
    "smlad " sum ", %[v], %[odd], " sum "\n\t"
#endif

/* sums[i] += row i with the input. */
static inline void ew_dense_four(const int8_t *const rows[4], const int8_t *input, int32_t length, int32_t sums[4])
{
    const int8_t *w0 = rows[0], *w1 = rows[1], *w2 = rows[2], *w3 = rows[3];
    const int8_t *const end = input + (length & ~3);
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];

#if defined(EW_DENSE_ROW)
    if (input != end) {
        int32_t even, odd, w, v;

        __asm__ volatile("1:\n\t"
                         "ldr %[even], [%[input]], #4\n\t"
                         "sxtb16 %[odd], %[even], ror #8\n\t"
                         "sxtb16 %[even], %[even]\n\t"
                         EW_DENSE_ROW("%[s0]", "%[w0]") EW_DENSE_ROW("%[s1]", "%[w1]") EW_DENSE_ROW("%[s2]", "%[w2]") EW_DENSE_ROW("%[s3]", "%[w3]")
                         "cmp %[input], %[end]\n\t"
                         "bne 1b\n\t"
                         : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [w0] "+r"(w0), [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3),
                           [input] "+r"(input), [even] "=&r"(even), [odd] "=&r"(odd), [w] "=&r"(w), [v] "=&r"(v)
                         : [end] "r"(end)
                         : "cc", "memory");
    }
#else
    while (input != end) {
        const int32_t word = ew_load(input);
        const int32_t even = ew_even(word), odd = ew_odd(word);
        int32_t w = ew_load(w0);

        s0 = ew_dot(ew_odd(w), odd, ew_dot(ew_even(w), even, s0));
        w = ew_load(w1);
        s1 = ew_dot(ew_odd(w), odd, ew_dot(ew_even(w), even, s1));
        w = ew_load(w2);
        s2 = ew_dot(ew_odd(w), odd, ew_dot(ew_even(w), even, s2));
        w = ew_load(w3);
        s3 = ew_dot(ew_odd(w), odd, ew_dot(ew_even(w), even, s3));
        input += 4;
        w0 += 4;
        w1 += 4;
        w2 += 4;
        w3 += 4;
    }
#endif
    for (int32_t k = 0; k < length % 4; k++) {
        s0 = ew_dot_low_low(w0[k], input[k], s0);
        s1 = ew_dot_low_low(w1[k], input[k], s1);
        s2 = ew_dot_low_low(w2[k], input[k], s2);
        s3 = ew_dot_low_low(w3[k], input[k], s3);
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

EW_KERNEL void ew_dense_s8(const struct ew_dense_s8 *layer, const int8_t *restrict input, int8_t *restrict output)
{
    const struct ew_bounds bounds = {layer->output_zero_point, layer->output_min, layer->output_max};
    const int32_t length = layer->inputs;
    const int32_t offset = 2 * bounds.zero_point + 1;

    for (int32_t row = 0; row < layer->outputs; row += 4) {
        /* Four rows at a time; near the end, the last one again. */
        const int32_t many = layer->outputs - row < 4 ? layer->outputs - row : 4;
        const int8_t *rows[4];
        int32_t sums[4];

        for (int32_t i = 0; i < 4; i++) {
            const int32_t at = i < many ? row + i : row + many - 1;

            rows[i] = layer->weights + at * length;
            sums[i] = layer->bias[at];
        }
        ew_dense_four(rows, input, length, sums);
        for (int32_t i = 0; i < many; i++) {
            const int32_t doubled = layer->multiplier[row + i], shift = layer->shift[row + i];

            if (layer->simple) {
                output[row + i] = (int8_t)ew_rescale(sums[i], doubled, -1 - shift, offset);
            } else {
                output[row + i] = ew_requantize_within(sums[i], (int32_t)((uint32_t)doubled >> 1), shift, &bounds);
            }
        }
    }
}

#endif
