/* One channel of a depthwise convolution with a 3x3 window, two outputs at a time. */
#ifndef EW_DEPTHWISE_3X3_H
#define EW_DEPTHWISE_3X3_H

#include "kernel.h"
#include "outputs.h"
#include "rescale_channel.h"

#if defined(EW_ASSEMBLY) && defined(__ARM_FEATURE_DSP)
/* Three taps of two outputs: of outputs one apart, and of outputs two apart. */
#define EW_DEPTHWISE_3X3_NEAR(from, a, b)           \
    "ldrd %[p], %[q], [" from "]\n\t"               \
    "smlad %[s], %[p], " a ", %[s]\n\t"             \
    "smlatb %[t], %[p], " a ", %[t]\n\t"            \
    "smlabt %[s], %[q], " b ", %[s]\n\t"            \
    "smlad %[t], %[q], " b ", %[t]\n\t"
#define EW_DEPTHWISE_3X3_FAR(from, a, b)            \
    "ldrd %[p], %[q], [" from "]\n\t"               \
    "smlad %[s], %[p], " a ", %[s]\n\t"             \
    "ldr %[p], [" from ", #8]\n\t"                  \
    "smlad %[t], %[q], " a ", %[t]\n\t"             \
    "smlabt %[s], %[q], " b ", %[s]\n\t"            \
    "smlabt %[t], %[p], " b ", %[t]\n\t"
#define EW_DEPTHWISE_3X3_RESCALE(sum)               \
    "smmlar " sum ", " sum ", %[p], " sum "\n\t"    \
    "add " sum ", " sum ", " sum ", asr #31\n\t"    \
    "asr " sum ", " sum ", %[q]\n\t"                \
    "qadd " sum ", " sum ", %[y]\n\t"               \
    "ssat " sum ", #8, " sum ", asr #1\n\t"
/* A row of pairs of outputs, from `x` to `end`. Where their number is odd, `end` is where x ends, and the last second one is not stored; where
 * it is even, one byte less. */
#define EW_DEPTHWISE_3X3_PAIRS(taps, advance)                                                                    \
    __asm__ volatile("1:\n\t"                                                                                    \
                     "ldr %[s], %[bias]\n\t"                                                                     \
                     "mov %[t], %[s]\n\t" taps("%[x]", "%[a0]", "%[b0]")                                         \
                     "add %[y], %[x], %[pitch]\n\t" taps("%[y]", "%[a1]", "%[b1]")                               \
                     "add %[y], %[y], %[pitch]\n\t" taps("%[y]", "%[a2]", "%[b2]")                               \
                     "ldrd %[p], %[q], %[factor]\n\t"                                                            \
                     "ldr %[y], %[offset]\n\t" EW_DEPTHWISE_3X3_RESCALE("%[s]") EW_DEPTHWISE_3X3_RESCALE("%[t]") \
                     "ldr %[p], %[step]\n\t"                                                                     \
                     "ldr %[q], %[end]\n\t"                                                                      \
                     "add %[x], %[x], #" advance "\n\t"                                                          \
                     "strb %[s], [%[out]]\n\t"                                                                   \
                     "cmp %[x], %[q]\n\t"                                                                        \
                     "it ne\n\t"                                                                                 \
                     "strbne %[t], [%[out], %[p]]\n\t"                                                           \
                     "add %[out], %[out], %[p], lsl #1\n\t"                                                      \
                     "blo 1b\n\t"                                                                                \
                     : [x] "+r"(x), [out] "+r"(output), [s] "=&r"(s), [t] "=&r"(t), [p] "=&r"(p), [q] "=&r"(q), [y] "=&r"(y) \
                     : [a0] "r"(w[0]), [b0] "r"(w[1]), [a1] "r"(w[2]), [b1] "r"(w[3]), [a2] "r"(w[4]), [b2] "r"(w[5]), \
                       [pitch] "r"(bytes), [bias] "m"(own.bias), [factor] "m"(own.factor), \
                       [offset] "m"(own.offset), [step] "m"(step), [end] "m"(end)                           \
                     : "cc", "memory")
#endif

/* `plane`: the padded input, its rows `pitch` halves long (an even number), followed by four bytes that are read for nothing.
 * `weights`: the nine of the channel. The stride is 1 or 2, both ways. */
EW_KERNEL void ew_depthwise_3x3(const struct ew_channel *channel, const int8_t *weights, const int16_t *plane, int32_t pitch, int32_t stride,
                                const struct ew_outputs *outputs)
{
    const struct ew_channel own = *channel;
    const int32_t w[6] = {ew_halves(weights[0], weights[1]), ew_halves(weights[1], weights[2]), ew_halves(weights[3], weights[4]),
                          ew_halves(weights[4], weights[5]), ew_halves(weights[6], weights[7]), ew_halves(weights[7], weights[8])};

    for (int32_t row = 0; row < outputs->rows; row++) {
        const int32_t *x = (const int32_t *)(const void *)(plane + row * stride * pitch);
        int8_t *output = outputs->first + row * outputs->row_step;
        int32_t left = outputs->count;

#if defined(EW_DEPTHWISE_3X3_PAIRS)
        if (own.simple) {
            const int32_t bytes = 2 * pitch;
            const int32_t step = outputs->step;
            const char *const end = (const char *)(x + (left + 1) / 2 * stride) - (left % 2 == 0);
            int32_t s, t, p, q, y;

            if (stride == 1) {
                EW_DEPTHWISE_3X3_PAIRS(EW_DEPTHWISE_3X3_NEAR, "4");
            } else {
                EW_DEPTHWISE_3X3_PAIRS(EW_DEPTHWISE_3X3_FAR, "8");
            }
            continue;
        }
#endif
        for (; left > 0; left--) {
            const int32_t offset = (outputs->count - left) * stride;
            const int16_t *from = (const int16_t *)(const void *)x + offset;
            int32_t sum = own.bias;

            for (int ky = 0; ky < 3; ky++) {
                sum = ew_dot(ew_halves(from[0], from[1]), w[2 * ky], sum);
                sum = ew_dot_low_high(from[2], w[2 * ky + 1], sum);
                from += pitch;
            }
            *output = ew_rescale_channel(&own, sum);
            output += outputs->step;
        }
    }
}

#endif
