/* Positions with output channels in plain C, or with SSE2, which every x86 of 64 bits has. */
#ifndef EW_MULTIPLY_PLAIN_H
#define EW_MULTIPLY_PLAIN_H

#if defined(EW_SSE2)

/* Sums of all products of position `p` with sixteen channels, whose weights begin at `weights`: pairs of halves. */
static inline ew_sums ew_multiply_one(const struct ew_positions *positions, int32_t p, const int8_t *weights, ew_sums sums)
{
    const __m128i zero = _mm_setzero_si128();
    __m128i pairs[8] = {zero, zero, zero, zero, zero, zero, zero, zero};

    for (int32_t segment = 0; segment < positions->segments; segment++) {
        const int8_t *from = positions->first[segment * EW_POSITIONS + p];

        for (int32_t at = 0; at < 4 * positions->quads; at += 4) {
            const __m128i x = ew_low_halves(_mm_set1_epi32(ew_load_4(from + at)));

            EW_UNROLL
            for (int i = 0; i < 4; i++) {
                const __m128i w = _mm_loadu_si128((const __m128i *)(const void *)(weights + 16 * i));

                pairs[2 * i] = _mm_add_epi32(pairs[2 * i], _mm_madd_epi16(x, ew_low_halves(w)));
                pairs[2 * i + 1] = _mm_add_epi32(pairs[2 * i + 1], _mm_madd_epi16(x, ew_high_halves(w)));
            }
            weights += 4 * EW_LANES;
        }
    }
    EW_UNROLL
    for (int i = 0; i < 4; i++) {
        __m128i *const to = (__m128i *)(void *)(sums.lane + 4 * i);
        const __m128i added = _mm_add_epi32(ew_even_words(pairs[2 * i], pairs[2 * i + 1]), ew_odd_words(pairs[2 * i], pairs[2 * i + 1]));

        _mm_storeu_si128(to, _mm_add_epi32(_mm_loadu_si128(to), added));
    }
    return sums;
}

#else

/* Sums of all products of position `p` with sixteen channels, whose weights begin at `weights`: four channels at a time. */
static inline ew_sums ew_multiply_one(const struct ew_positions *positions, int32_t p, const int8_t *weights, ew_sums sums)
{
    for (int32_t channel = 0; channel < EW_LANES; channel += 4) {
        const int8_t *w = weights + 4 * channel;
        uint32_t a = 0, b = 0, c = 0, d = 0;

        for (int32_t segment = 0; segment < positions->segments; segment++) {
            const int8_t *x = positions->first[segment * EW_POSITIONS + p];

            for (int32_t quad = 0; quad < positions->quads; quad++) {
                const int32_t x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];

                a += (uint32_t)(w[0] * x0 + w[1] * x1 + w[2] * x2 + w[3] * x3);
                b += (uint32_t)(w[4] * x0 + w[5] * x1 + w[6] * x2 + w[7] * x3);
                c += (uint32_t)(w[8] * x0 + w[9] * x1 + w[10] * x2 + w[11] * x3);
                d += (uint32_t)(w[12] * x0 + w[13] * x1 + w[14] * x2 + w[15] * x3);
                w += 4 * EW_LANES;
                x += 4;
            }
        }
        sums.lane[channel] = (int32_t)((uint32_t)sums.lane[channel] + a);
        sums.lane[channel + 1] = (int32_t)((uint32_t)sums.lane[channel + 1] + b);
        sums.lane[channel + 2] = (int32_t)((uint32_t)sums.lane[channel + 2] + c);
        sums.lane[channel + 3] = (int32_t)((uint32_t)sums.lane[channel + 3] + d);
    }
    return sums;
}

#endif

EW_KERNEL void ew_multiply_positions(const struct ew_matrix *matrix, const struct ew_positions *positions, const struct ew_target *to)
{
    for (int32_t channel = 0; channel < matrix->channels; channel += EW_LANES) {
        const struct ew_scaling scaling = ew_scaling_of(&matrix->factors, channel);
        const int32_t left = matrix->channels - channel;
        const int8_t *weights = matrix->weights + channel / EW_LANES * matrix->length;

        for (int32_t p = 0; p < to->count; p++) {
            const ew_sums sums = ew_multiply_one(positions, p, weights, ew_bias_of(&matrix->factors, channel));

            ew_put_sums(&scaling, sums, to->output + channel + p * to->step, left < EW_LANES ? left : EW_LANES);
        }
    }
}

#endif
