/* One channel of a depthwise convolution with a 5x5 window, four outputs at a time. */
#ifndef EW_DEPTHWISE_5X5_H
#define EW_DEPTHWISE_5X5_H

#include "kernel.h"
#include "outputs.h"
#include "rescale_channel.h"

/* The weights of a row of taps are four words: taps 0 1, 2 3, 1 2 and 3 4. */
#if defined(EW_ASSEMBLY) && defined(__ARM_FEATURE_DSP)
/* A row of taps of four outputs, the offsets of its weights given: of outputs one apart, and of outputs two apart. */
#define EW_DEPTHWISE_5X5_NEAR(low, high)                \
    "ldrd %[p], %[q], [%[x]]\n\t"                       \
    "ldrd %[a], %[b], [%[w], #" low "]\n\t"             \
    "smlad %[s0], %[p], %[a], %[s0]\n\t"                \
    "smlatb %[s1], %[p], %[a], %[s1]\n\t"               \
    "smlad %[s2], %[q], %[a], %[s2]\n\t"                \
    "smlatb %[s3], %[q], %[a], %[s3]\n\t"               \
    "smlad %[s0], %[q], %[b], %[s0]\n\t"                \
    "ldrd %[p], %[r], [%[x], #8]\n\t"                   \
    "smlad %[s2], %[p], %[b], %[s2]\n\t"                \
    "ldrd %[a], %[b], [%[w], #" high "]\n\t"            \
    "smlad %[s1], %[q], %[a], %[s1]\n\t"                \
    "smlad %[s3], %[p], %[a], %[s3]\n\t"                \
    "smlabt %[s0], %[p], %[b], %[s0]\n\t"               \
    "smlad %[s1], %[p], %[b], %[s1]\n\t"                \
    "smlabt %[s2], %[r], %[b], %[s2]\n\t"               \
    "smlad %[s3], %[r], %[b], %[s3]\n\t"                \
    "add %[x], %[x], %[pitch]\n\t"
#define EW_DEPTHWISE_5X5_FAR(low, high)                 \
    "ldrd %[p], %[q], [%[x]]\n\t"                       \
    "ldrd %[a], %[b], [%[w], #" low "]\n\t"             \
    "smlad %[s0], %[p], %[a], %[s0]\n\t"                \
    "smlad %[s0], %[q], %[b], %[s0]\n\t"                \
    "smlad %[s1], %[q], %[a], %[s1]\n\t"                \
    "ldrd %[p], %[q], [%[x], #8]\n\t"                   \
    "ldr %[r], [%[w], #4 + " high "]\n\t"               \
    "smlad %[s1], %[p], %[b], %[s1]\n\t"                \
    "smlad %[s2], %[p], %[a], %[s2]\n\t"                \
    "smlabt %[s0], %[p], %[r], %[s0]\n\t"               \
    "smlad %[s2], %[q], %[b], %[s2]\n\t"                \
    "smlad %[s3], %[q], %[a], %[s3]\n\t"                \
    "smlabt %[s1], %[q], %[r], %[s1]\n\t"               \
    "ldrd %[p], %[q], [%[x], #16]\n\t"                  \
    "smlabt %[s2], %[p], %[r], %[s2]\n\t"               \
    "smlad %[s3], %[p], %[b], %[s3]\n\t"                \
    "smlabt %[s3], %[q], %[r], %[s3]\n\t"               \
    "add %[x], %[x], %[pitch]\n\t"
#define EW_DEPTHWISE_5X5_RESCALE(sum)               \
    "smmlar " sum ", " sum ", %[p], " sum "\n\t"    \
    "add " sum ", " sum ", " sum ", asr #31\n\t"    \
    "asr " sum ", " sum ", %[q]\n\t"                \
    "qadd " sum ", " sum ", %[r]\n\t"               \
    "ssat " sum ", #8, " sum ", asr #1\n\t"
/* Fours of outputs, from `x` to `end`. `back` leads from below the last row of taps to the next four. */
#define EW_DEPTHWISE_5X5_FOURS(taps)                                                                              \
    __asm__ volatile("1:\n\t"                                                                                     \
                     "ldr %[s0], %[bias]\n\t"                                                                     \
                     "mov %[s1], %[s0]\n\t"                                                                       \
                     "mov %[s2], %[s0]\n\t"                                                                       \
                     "mov %[s3], %[s0]\n\t"                                                                       \
                     taps("0", "8") taps("16", "24") taps("32", "40") taps("48", "56") taps("64", "72")           \
                     "ldrd %[p], %[q], %[factor]\n\t"                                                             \
                     "ldr %[r], %[offset]\n\t"                                                                    \
                     "ldr %[a], %[back]\n\t"                                                                      \
                     "ldr %[b], %[step]\n\t"                                                                      \
                     EW_DEPTHWISE_5X5_RESCALE("%[s0]") EW_DEPTHWISE_5X5_RESCALE("%[s1]")                          \
                     EW_DEPTHWISE_5X5_RESCALE("%[s2]") EW_DEPTHWISE_5X5_RESCALE("%[s3]")                          \
                     "add %[x], %[x], %[a]\n\t"                                                                   \
                     "ldr %[a], %[end]\n\t"                                                                       \
                     "strb %[s0], [%[out]]\n\t"                                                                   \
                     "strb %[s1], [%[out], %[b]]\n\t"                                                             \
                     "add %[out], %[out], %[b], lsl #1\n\t"                                                       \
                     "cmp %[x], %[a]\n\t"                                                                         \
                     "strb %[s2], [%[out]]\n\t"                                                                   \
                     "strb %[s3], [%[out], %[b]]\n\t"                                                             \
                     "add %[out], %[out], %[b], lsl #1\n\t"                                                       \
                     "blo 1b\n\t"                                                                                 \
                     : [x] "+r"(x), [out] "+r"(to), [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3), [p] "=&r"(p), \
                       [q] "=&r"(q), [r] "=&r"(r), [a] "=&r"(a), [b] "=&r"(b)                                     \
                     : [w] "r"(w), [pitch] "r"(bytes), [bias] "m"(own.bias), [factor] "m"(own.factor), [offset] "m"(own.offset), \
                       [back] "m"(back), [step] "m"(step), [end] "m"(end)                                        \
                     : "cc", "memory")
#endif

/* `plane`: the padded input, its rows `pitch` halves long (an even number), followed by sixteen bytes that are read for nothing. `w`: the
 * weights of the channel. The stride is 1 or 2, both ways. */
EW_KERNEL void ew_depthwise_5x5(const struct ew_channel *channel, const int32_t *w, const int16_t *plane, int32_t pitch, int32_t stride,
                                const struct ew_outputs *outputs)
{
    const struct ew_channel own = *channel;

    for (int32_t row = 0; row < outputs->rows; row++) {
        const int16_t *from = plane + row * stride * pitch;
        int8_t *output = outputs->first + row * outputs->row_step;
        int32_t left = outputs->count;

#if defined(EW_DEPTHWISE_5X5_FOURS)
        /* All whole fours, then what is left over, of which four are computed. */
        while (own.simple && left > 0) {
            const int32_t many = left < 4 ? left : left & ~3;
            const int32_t bytes = 2 * pitch;
            const int32_t back = 8 * stride - 5 * bytes;
            const int32_t step = left < 4 ? 1 : outputs->step;
            const char *x = (const char *)from;
            const char *const end = x + 2 * stride * many;
            int8_t rest[4];
            int8_t *to = left < 4 ? rest : output;
            int32_t s0, s1, s2, s3, p, q, r, a, b;

            if (stride == 1) {
                EW_DEPTHWISE_5X5_FOURS(EW_DEPTHWISE_5X5_NEAR);
            } else {
                EW_DEPTHWISE_5X5_FOURS(EW_DEPTHWISE_5X5_FAR);
            }
            for (int32_t i = 0; left < 4 && i < many; i++) {
                output[i * outputs->step] = rest[i];
            }
            from += many * stride;
            output += many * outputs->step;
            left -= many;
        }
#endif
        for (; left > 0; left--) {
            const int16_t *x = from;
            int32_t sum = own.bias;

            for (int ky = 0; ky < 5; ky++) {
                sum = ew_dot(ew_halves(x[0], x[1]), w[4 * ky], sum);
                sum = ew_dot(ew_halves(x[2], x[3]), w[4 * ky + 1], sum);
                sum = ew_dot_low_high(x[4], w[4 * ky + 3], sum);
                x += pitch;
            }
            *output = ew_rescale_channel(&own, sum);
            output += outputs->step;
            from += stride;
        }
    }
}

#endif
