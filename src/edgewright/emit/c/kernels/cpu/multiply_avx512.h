/* Positions with output channels, with AVX-512 VNNI: four unsigned bytes times four signed ones, added up, in each of sixteen lanes. */
#ifndef EW_MULTIPLY_AVX512_H
#define EW_MULTIPLY_AVX512_H

#define EW_EACH_POSITION(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7)
#define EW_BEGIN(p) __m512i a##p = bias, b##p = second_bias;
#define EW_FIND(p) const int8_t *x##p = first[(p) < many ? (p) : 0];
#define EW_MULTIPLY(p)                                                                     \
    if ((p) < many) {                                                                      \
        const __m512i x = _mm512_xor_si512(_mm512_set1_epi32(ew_load_4(x##p + at)), flip); \
                                                                                           \
        a##p = _mm512_dpbusd_epi32(a##p, x, w);                                            \
        if (two) {                                                                         \
            b##p = _mm512_dpbusd_epi32(b##p, x, second_w);                                 \
        }                                                                                  \
    }

/* `many` (8, 4 or 1) positions, of which to->count are wanted, with one block of channels, or `two`, from `channel` on. */
EW_INLINE void ew_multiply_blocks(const struct ew_matrix *matrix, const struct ew_positions *positions, int32_t many, int32_t two,
                                  int32_t channel, const struct ew_target *to)
{
    const __m512i flip = _mm512_set1_epi8(-128);
    const int8_t *weights = matrix->weights + channel / EW_LANES * matrix->length;
    const int32_t second = two ? matrix->length : 0, left = matrix->channels - channel, step = to->step;
    const int32_t quads = positions->quads, count = to->count;
    const int32_t here = left < EW_LANES ? left : EW_LANES, there = left < 2 * EW_LANES ? left - EW_LANES : EW_LANES;
    const __m512i bias = ew_bias_of(&matrix->factors, channel);
    const __m512i second_bias = two ? ew_bias_of(&matrix->factors, channel + EW_LANES) : bias;
    int8_t *output = to->output + channel;
    EW_EACH_POSITION(EW_BEGIN)

    for (int32_t segment = 0; segment < positions->segments; segment++) {
        const int8_t *const *first = positions->first + segment * EW_POSITIONS;
        EW_EACH_POSITION(EW_FIND)

        for (int32_t at = 0; at < 4 * quads; at += 4) {
            const __m512i w = _mm512_loadu_si512(weights);
            const __m512i second_w = _mm512_loadu_si512(weights + second);

            EW_EACH_POSITION(EW_MULTIPLY)
            weights += 4 * EW_LANES;
        }
    }
    struct ew_scaling scaling = ew_scaling_of(&matrix->factors, channel);

    if (many == 1) {
        ew_put_sums(&scaling, a0, output, here);
    } else {
        ew_put_four(&scaling, a0, a1, a2, a3, output, step, count, here);
    }
    if (many == 8) {
        ew_put_four(&scaling, a4, a5, a6, a7, output + 4 * step, step, count - 4, here);
    }
    if (two) {
        scaling = ew_scaling_of(&matrix->factors, channel + EW_LANES);
        output += EW_LANES;
        if (many == 1) {
            ew_put_sums(&scaling, b0, output, there);
        } else {
            ew_put_four(&scaling, b0, b1, b2, b3, output, step, count, there);
        }
        if (many == 8) {
            ew_put_four(&scaling, b4, b5, b6, b7, output + 4 * step, step, count - 4, there);
        }
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

#endif
