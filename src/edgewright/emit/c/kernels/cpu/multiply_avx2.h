/* Positions with output channels, with AVX2: pairs of halves. */
#ifndef EW_MULTIPLY_AVX2_H
#define EW_MULTIPLY_AVX2_H

/* Pairs of the products of a channel lie side by side: the sums of sixteen channels, without the bias. */
static inline ew_sums ew_gather_pairs(const __m256i pairs[4], ew_sums sums)
{
    EW_UNROLL
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
    const struct ew_scaling scaling = ew_scaling_of(&matrix->factors, channel);
    const ew_sums bias = ew_bias_of(&matrix->factors, channel);
    int8_t *output = to->output + channel + first * to->step;
    __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;

    for (int32_t segment = 0; segment < positions->segments; segment++) {
        const int8_t *x0 = positions->first[segment * EW_POSITIONS + first], *x1 = positions->first[segment * EW_POSITIONS + first + both];

        for (int32_t at = 0; at < 4 * positions->quads; at += 4) {
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

#endif
