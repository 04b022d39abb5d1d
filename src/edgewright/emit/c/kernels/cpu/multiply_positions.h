/* Up to eight output positions with all output channels of a group. */
#ifndef EW_MULTIPLY_POSITIONS_H
#define EW_MULTIPLY_POSITIONS_H

#include "multiply_add.h"
#include "sums.h"

#define EW_POSITIONS 8

/* What each position sees: `segments` runs of `quads` times four bytes, `pitch` bytes apart. */
struct ew_positions {
    const int8_t *first[EW_POSITIONS];
    int32_t segments, quads, pitch;
};

/* Weights: in blocks of sixteen channels, for each four steps four bytes of each channel; `length` bytes a block. Inputs count from -128 on:
 * 128 is added to each, as the instructions take unsigned bytes there, and the bias allows for it. */
struct ew_matrix {
    const int8_t *weights;
    int32_t length, channels;
    struct ew_factors factors;
};

/* Where the results go: `step` bytes apart. */
struct ew_target {
    int8_t *output;
    int32_t step, count;
};

#if defined(EW_AVX512)

#define EW_EACH_POSITION(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7)
#define EW_BEGIN(p)                                               \
    const int8_t *x##p = positions->first[(p) < many ? (p) : 0]; \
    __m512i a##p = bias, b##p = second_bias;
#define EW_MULTIPLY(p)                                                                                          \
    if ((p) < many) {                                                                                           \
        const __m512i x = _mm512_xor_si512(_mm512_set1_epi32(ew_load_4(x##p + at)), flip);                      \
                                                                                                                \
        a##p = _mm512_dpbusd_epi32(a##p, x, w);                                                                 \
        if (two) {                                                                                              \
            b##p = _mm512_dpbusd_epi32(b##p, x, second_w);                                                      \
        }                                                                                                       \
    }
#define EW_PUT(p)                                                                                \
    if ((p) < many && (p) < to->count) {                                                         \
        ew_put_sums(&scaling, a##p, output + (p) * to->step, left < EW_LANES ? left : EW_LANES); \
    }
#define EW_PUT_SECOND(p)                                                                                               \
    if ((p) < many && (p) < to->count) {                                                                               \
        ew_put_sums(&scaling, b##p, output + EW_LANES + (p) * to->step, left < 2 * EW_LANES ? left - EW_LANES : EW_LANES); \
    }

/* `many` positions, of which to->count are wanted, with one block of channels, or `two`, from `channel` on. */
EW_INLINE void ew_multiply_blocks(const struct ew_matrix *matrix, const struct ew_positions *positions, int32_t many, int32_t two,
                                  int32_t channel, const struct ew_target *to)
{
    const __m512i flip = _mm512_set1_epi8(-128);
    const int8_t *weights = matrix->weights + channel / EW_LANES * matrix->length;
    const int32_t second = two ? matrix->length : 0, left = matrix->channels - channel;
    const __m512i bias = ew_bias_of(&matrix->factors, channel);
    const __m512i second_bias = two ? ew_bias_of(&matrix->factors, channel + EW_LANES) : bias;
    int8_t *output = to->output + channel;
    EW_EACH_POSITION(EW_BEGIN)

    for (int32_t segment = 0; segment < positions->segments; segment++) {
        const int32_t start = segment * positions->pitch;

        for (int32_t at = start; at < start + 4 * positions->quads; at += 4) {
            const __m512i w = _mm512_loadu_si512(weights);
            const __m512i second_w = _mm512_loadu_si512(weights + second);

            EW_EACH_POSITION(EW_MULTIPLY)
            weights += 4 * EW_LANES;
        }
    }
    struct ew_scaling scaling = ew_scaling_of(&matrix->factors, channel);
    EW_EACH_POSITION(EW_PUT)
    if (two) {
        scaling = ew_scaling_of(&matrix->factors, channel + EW_LANES);
        EW_EACH_POSITION(EW_PUT_SECOND)
    }
}

EW_KERNEL void ew_multiply_positions(const struct ew_matrix *matrix, const struct ew_positions *positions, const struct ew_target *to)
{
    int32_t channel = 0;

    for (; channel + EW_LANES < matrix->channels; channel += 2 * EW_LANES) {
        if (to->count > 4) {
            ew_multiply_blocks(matrix, positions, 8, 1, channel, to);
        } else if (to->count > 1) {
            ew_multiply_blocks(matrix, positions, 4, 1, channel, to);
        } else {
            ew_multiply_blocks(matrix, positions, 1, 1, channel, to);
        }
    }
    if (channel < matrix->channels) {
        if (to->count > 4) {
            ew_multiply_blocks(matrix, positions, 8, 0, channel, to);
        } else if (to->count > 1) {
            ew_multiply_blocks(matrix, positions, 4, 0, channel, to);
        } else {
            ew_multiply_blocks(matrix, positions, 1, 0, channel, to);
        }
    }
}

#elif defined(EW_AVX2)

/* Pairs of the products of a channel lie side by side: the sums of sixteen channels, without the bias. */
static inline ew_sums ew_gather_pairs(const __m256i pairs[4], ew_sums sums)
{
    for (int i = 0; i < 2; i++) {
        const __m256i added = _mm256_permute4x64_epi64(_mm256_hadd_epi32(pairs[2 * i], pairs[2 * i + 1]), 0xD8);

        sums.half[i] = _mm256_add_epi32(sums.half[i], added);
    }
    return sums;
}

#define EW_PAIRS(acc, i, x) acc##i = _mm256_add_epi32(acc##i, _mm256_madd_epi16(x, w##i))
#define EW_WEIGHTS(i) _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(weights + EW_LANES * (i))))

static inline __m256i ew_spread_4(const int8_t *from)
{
    const __m128i bytes = _mm_xor_si128(_mm_cvtsi32_si128(ew_load_4(from)), _mm_set1_epi8(-128));

    return _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(bytes));
}

/* Two positions with sixteen channels from `channel` on. */
static inline void ew_multiply_two(const struct ew_matrix *matrix, const struct ew_positions *positions, int32_t first, int32_t channel,
                                   const struct ew_target *to)
{
    const int32_t both = first + 1 < to->count, left = matrix->channels - channel, count = left < EW_LANES ? left : EW_LANES;
    const int8_t *weights = matrix->weights + channel / EW_LANES * matrix->length;
    const int8_t *x0 = positions->first[first], *x1 = positions->first[first + both];
    const struct ew_scaling scaling = ew_scaling_of(&matrix->factors, channel);
    const ew_sums bias = ew_bias_of(&matrix->factors, channel);
    int8_t *output = to->output + channel + first * to->step;
    __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;

    for (int32_t segment = 0; segment < positions->segments; segment++) {
        const int32_t start = segment * positions->pitch;

        for (int32_t at = start; at < start + 4 * positions->quads; at += 4) {
            const __m256i x = ew_spread_4(x0 + at), y = ew_spread_4(x1 + at);
            const __m256i w0 = EW_WEIGHTS(0), w1 = EW_WEIGHTS(1), w2 = EW_WEIGHTS(2), w3 = EW_WEIGHTS(3);

            EW_PAIRS(a, 0, x);
            EW_PAIRS(a, 1, x);
            EW_PAIRS(a, 2, x);
            EW_PAIRS(a, 3, x);
            EW_PAIRS(b, 0, y);
            EW_PAIRS(b, 1, y);
            EW_PAIRS(b, 2, y);
            EW_PAIRS(b, 3, y);
            weights += 4 * EW_LANES;
        }
    }
    ew_put_sums(&scaling, ew_gather_pairs((const __m256i[4]){a0, a1, a2, a3}, bias), output, count);
    if (both) {
        ew_put_sums(&scaling, ew_gather_pairs((const __m256i[4]){b0, b1, b2, b3}, bias), output + to->step, count);
    }
}

EW_KERNEL void ew_multiply_positions(const struct ew_matrix *matrix, const struct ew_positions *positions, const struct ew_target *to)
{
    for (int32_t channel = 0; channel < matrix->channels; channel += EW_LANES) {
        for (int32_t first = 0; first < to->count; first += 2) {
            ew_multiply_two(matrix, positions, first, channel, to);
        }
    }
}

#else

EW_KERNEL void ew_multiply_positions(const struct ew_matrix *matrix, const struct ew_positions *positions, const struct ew_target *to)
{
    for (int32_t channel = 0; channel < matrix->channels; channel += EW_LANES) {
        const struct ew_scaling scaling = ew_scaling_of(&matrix->factors, channel);
        const int32_t left = matrix->channels - channel;

        for (int32_t p = 0; p < to->count; p++) {
            const int8_t *weights = matrix->weights + channel / EW_LANES * matrix->length;
            ew_sums sums = ew_bias_of(&matrix->factors, channel);

            for (int32_t segment = 0; segment < positions->segments; segment++) {
                const int8_t *x = positions->first[p] + segment * positions->pitch;

                for (int32_t quad = 0; quad < positions->quads; quad++) {
                    for (int i = 0; i < 4 * EW_LANES; i++) {
                        sums.lane[i / 4] = ew_multiply_add(sums.lane[i / 4], weights[i], x[i % 4] + 128);
                    }
                    weights += 4 * EW_LANES;
                    x += 4;
                }
            }
            ew_put_sums(&scaling, sums, to->output + channel + p * to->step, left < EW_LANES ? left : EW_LANES);
        }
    }
}

#endif
#endif
