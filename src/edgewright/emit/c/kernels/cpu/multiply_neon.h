/* Positions with output channels, with Neon: by SMMLA, SDOT or, without those, products of bytes that are added in pairs. */
#ifndef EW_MULTIPLY_NEON_H
#define EW_MULTIPLY_NEON_H

/* Four bytes, again and again. */
static inline int8x16_t ew_spread_4(const int8_t *from)
{
    return vreinterpretq_s8_s32(vdupq_n_s32(ew_load_4(from)));
}

#if defined(__ARM_FEATURE_MATMUL_INT8)

/* Eight bytes of each of two positions; the second four may not exist. */
static inline int8x16_t ew_two_rows(const int8_t *x, const int8_t *y, int32_t whole)
{
    if (whole) {
        return vcombine_s8(vld1_s8(x), vld1_s8(y));
    }
    return vreinterpretq_s8_s32(vsetq_lane_s32(ew_load_4(y), vsetq_lane_s32(ew_load_4(x), vdupq_n_s32(0), 0), 2));
}

/* Eight steps, or four where not `whole`, of eight positions with eight channels: sums[4 * pair + j] has two positions of channels 2j, 2j + 1. */
EW_INLINE void ew_multiply_rows(int32x4_t sums[16], const int8_t *const *first, int32_t at, const int8_t *weights, int32_t whole)
{
    const int32x4_t zero = vdupq_n_s32(0);
    const int32x4_t a = vreinterpretq_s32_s8(vld1q_s8(weights)), b = vreinterpretq_s32_s8(vld1q_s8(weights + 16));
    const int32x4_t c = whole ? vreinterpretq_s32_s8(vld1q_s8(weights + 4 * EW_LANES)) : zero;
    const int32x4_t d = whole ? vreinterpretq_s32_s8(vld1q_s8(weights + 4 * EW_LANES + 16)) : zero;
    const int8x16_t w0 = vreinterpretq_s8_s32(vzip1q_s32(a, c)), w1 = vreinterpretq_s8_s32(vzip2q_s32(a, c));
    const int8x16_t w2 = vreinterpretq_s8_s32(vzip1q_s32(b, d)), w3 = vreinterpretq_s8_s32(vzip2q_s32(b, d));

    EW_UNROLL
    for (int pair = 0; pair < EW_POSITIONS / 2; pair++) {
        const int8x16_t x = ew_two_rows(first[2 * pair] + at, first[2 * pair + 1] + at, whole);

        sums[4 * pair] = vmmlaq_s32(sums[4 * pair], x, w0);
        sums[4 * pair + 1] = vmmlaq_s32(sums[4 * pair + 1], x, w1);
        sums[4 * pair + 2] = vmmlaq_s32(sums[4 * pair + 2], x, w2);
        sums[4 * pair + 3] = vmmlaq_s32(sums[4 * pair + 3], x, w3);
    }
}

/* The halves `half` (0: the first) of two pairs of channels. */
static inline int32x4_t ew_one_position(int32x4_t bias, int32x4_t a, int32x4_t b, int32_t half)
{
    return vaddq_s32(bias, half ? vcombine_s32(vget_high_s32(a), vget_high_s32(b)) : vcombine_s32(vget_low_s32(a), vget_low_s32(b)));
}

/* Eight positions, of which to->count are wanted, with eight channels from `channel` on. */
static inline void ew_multiply_eight(const struct ew_matrix *matrix, const struct ew_positions *positions, int32_t channel,
                                     const struct ew_target *to)
{
    const int8_t *weights = matrix->weights + channel / EW_LANES * matrix->length + 4 * (channel % EW_LANES);
    const int32_t left = matrix->channels - channel, count = left < 8 ? left : 8;
    const int32x4_t first = vld1q_s32(matrix->factors.bias + channel), second = vld1q_s32(matrix->factors.bias + channel + 4);
    int32x4_t sums[16];

    EW_UNROLL
    for (int i = 0; i < 16; i++) {
        sums[i] = vdupq_n_s32(0);
    }
    for (int32_t segment = 0; segment < positions->segments; segment++) {
        const int8_t *const *from = positions->first + segment * EW_POSITIONS;
        const int32_t end = 4 * positions->quads;
        int32_t at = 0;

        for (; at + 4 < end; at += 8) {
            ew_multiply_rows(sums, from, at, weights, 1);
            weights += 8 * EW_LANES;
        }
        if (at < end) {
            ew_multiply_rows(sums, from, at, weights, 0);
            weights += 4 * EW_LANES;
        }
    }
    EW_UNROLL
    for (int p = 0; p < EW_POSITIONS; p++) {
        const int32x4_t *of = sums + p / 2 * 4;
        const int32x4_t a = ew_one_position(first, of[0], of[1], p % 2), b = ew_one_position(second, of[2], of[3], p % 2);
        const int8x8_t bytes = ew_scale_eight(&matrix->factors, channel, a, b);
        int8_t *output = to->output + channel + p * to->step;

        if (p < to->count && count == 8) {
            vst1_s8(output, bytes);
        } else if (p < to->count) {
            int8_t some[8];

            vst1_s8(some, bytes);
            memcpy(output, some, (size_t)count);
        }
    }
}

#endif

#if defined(__ARM_FEATURE_DOTPROD)

#define EW_MOST_AT_ONCE 4

/* Four steps of `many` positions with sixteen channels. */
EW_INLINE void ew_multiply_four(ew_sums *sums, const int8_t *const *first, int32_t at, const int8_t *weights, int32_t many)
{
    const int8x16_t w[4] = {vld1q_s8(weights), vld1q_s8(weights + 16), vld1q_s8(weights + 32), vld1q_s8(weights + 48)};

    EW_UNROLL
    for (int32_t p = 0; p < many; p++) {
        const int8x16_t x = ew_spread_4(first[p] + at);

        EW_UNROLL
        for (int i = 0; i < 4; i++) {
            sums[p].part[i] = vdotq_s32(sums[p].part[i], w[i], x);
        }
    }
}

/* `many` positions with sixteen channels: the sums of all their products. */
EW_INLINE void ew_multiply_all(ew_sums *sums, const struct ew_positions *positions, int32_t first, const int8_t *weights,
                               int32_t many)
{
    for (int32_t segment = 0; segment < positions->segments; segment++) {
        const int8_t *const *from = positions->first + segment * EW_POSITIONS + first;

        for (int32_t at = 0; at < 4 * positions->quads; at += 4) {
            ew_multiply_four(sums, from, at, weights, many);
            weights += 4 * EW_LANES;
        }
    }
}

#else

#define EW_MOST_AT_ONCE 2

/* `many` positions with sixteen channels: the sums of all their products; those of a channel are added up in pairs first. */
EW_INLINE void ew_multiply_all(ew_sums *sums, const struct ew_positions *positions, int32_t first, const int8_t *weights,
                               int32_t many)
{
    int32x4_t pairs[EW_MOST_AT_ONCE][8];

    EW_UNROLL
    for (int32_t p = 0; p < many; p++) {
        EW_UNROLL
        for (int i = 0; i < 8; i++) {
            pairs[p][i] = vdupq_n_s32(0);
        }
    }
    for (int32_t segment = 0; segment < positions->segments; segment++) {
        const int8_t *const *from = positions->first + segment * EW_POSITIONS + first;

        for (int32_t at = 0; at < 4 * positions->quads; at += 4) {
            const int8x16_t w[4] = {vld1q_s8(weights), vld1q_s8(weights + 16), vld1q_s8(weights + 32), vld1q_s8(weights + 48)};

            EW_UNROLL
            for (int32_t p = 0; p < many; p++) {
                const int8x16_t x = ew_spread_4(from[p] + at);

                EW_UNROLL
                for (int i = 0; i < 4; i++) {
                    pairs[p][2 * i] = vpadalq_s16(pairs[p][2 * i], vmull_s8(vget_low_s8(w[i]), vget_low_s8(x)));
                    pairs[p][2 * i + 1] = vpadalq_s16(pairs[p][2 * i + 1], vmull_high_s8(w[i], x));
                }
            }
            weights += 4 * EW_LANES;
        }
    }
    EW_UNROLL
    for (int32_t p = 0; p < many; p++) {
        EW_UNROLL
        for (int i = 0; i < 4; i++) {
            sums[p].part[i] = vaddq_s32(sums[p].part[i], vpaddq_s32(pairs[p][2 * i], pairs[p][2 * i + 1]));
        }
    }
}

#endif

/* `many` positions, of which `count` are wanted, with sixteen channels from `channel` on. */
EW_INLINE void ew_multiply_block(const struct ew_matrix *matrix, const struct ew_positions *positions, int32_t first, int32_t many,
                                 int32_t channel, const struct ew_target *to)
{
    const struct ew_scaling scaling = ew_scaling_of(&matrix->factors, channel);
    const int32_t left = matrix->channels - channel;
    ew_sums sums[EW_MOST_AT_ONCE];

    EW_UNROLL
    for (int32_t p = 0; p < many; p++) {
        sums[p] = ew_bias_of(&matrix->factors, channel);
    }
    ew_multiply_all(sums, positions, first, matrix->weights + channel / EW_LANES * matrix->length, many);
    EW_UNROLL
    for (int32_t p = 0; p < many; p++) {
        if (first + p < to->count) {
            ew_put_sums(&scaling, sums[p], to->output + channel + (first + p) * to->step, left < EW_LANES ? left : EW_LANES);
        }
    }
}

EW_KERNEL void ew_multiply_positions(const struct ew_matrix *matrix, const struct ew_positions *positions, const struct ew_target *to)
{
#if defined(__ARM_FEATURE_MATMUL_INT8)
    if (to->count > 2) {
        for (int32_t channel = 0; channel < matrix->channels; channel += 8) {
            ew_multiply_eight(matrix, positions, channel, to);
        }
        return;
    }
#endif
    for (int32_t channel = 0; channel < matrix->channels; channel += EW_LANES) {
        int32_t first = 0;

        for (; first + 1 < to->count; first += EW_MOST_AT_ONCE) {
            ew_multiply_block(matrix, positions, first, EW_MOST_AT_ONCE, channel, to);
        }
        if (first < to->count) {
            ew_multiply_block(matrix, positions, first, 1, channel, to);
        }
    }
}

#endif
