/* Sums of sixteen output channels with Neon, and their way to bytes. */
#ifndef EW_SUMS_NEON_H
#define EW_SUMS_NEON_H

typedef struct {
    int32x4_t part[4];
} ew_sums;

struct ew_scaling {
    const struct ew_factors *factors;
    int32_t channel;
};

static inline struct ew_scaling ew_scaling_of(const struct ew_factors *factors, int32_t channel)
{
    const struct ew_scaling scaling = {factors, channel};

    return scaling;
}

/* As ew_requantize: SQRDMULH rounds halves up, SRSHL too, from which one is taken off a negative number where it is shifted. */
static inline int32x4_t ew_scale(int32x4_t sums, int32x4_t multiplier, int32x4_t shift)
{
    const int32x4_t zero = vdupq_n_s32(0), right = vminq_s32(shift, zero);
    const int32x4_t high = vqrdmulhq_s32(vshlq_s32(sums, vmaxq_s32(shift, zero)), multiplier);

    return vrshlq_s32(vqaddq_s32(high, vshrq_n_s32(vandq_s32(high, right), 31)), right);
}

/* Eight sums as bytes, those of the channels from `channel` on. */
static inline int8x8_t ew_scale_eight(const struct ew_factors *factors, int32_t channel, int32x4_t a, int32x4_t b)
{
    const int16x8_t shift = vmovl_s8(vld1_s8(factors->shift + channel));
    const int32_t *multiplier = factors->multiplier + channel;
    const int32x4_t x = ew_scale(a, vld1q_s32(multiplier), vmovl_s16(vget_low_s16(shift)));
    const int32x4_t y = ew_scale(b, vld1q_s32(multiplier + 4), vmovl_high_s16(shift));
    const int16x8_t words = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(x), y), vdupq_n_s16((int16_t)factors->zero_point));
    const int8x8_t low = vdup_n_s8((int8_t)factors->low), high = vdup_n_s8((int8_t)factors->high);

    return vmin_s8(vmax_s8(vqmovn_s16(words), low), high);
}

/* The first `count` of the sixteen, as bytes. */
static inline void ew_put_sums(const struct ew_scaling *scaling, ew_sums sums, int8_t *output, int32_t count)
{
    const int8x8_t first = ew_scale_eight(scaling->factors, scaling->channel, sums.part[0], sums.part[1]);
    const int8x8_t second = ew_scale_eight(scaling->factors, scaling->channel + 8, sums.part[2], sums.part[3]);

    if (count == EW_LANES) {
        vst1q_s8(output, vcombine_s8(first, second));
    } else {
        int8_t bytes[EW_LANES];

        vst1q_s8(bytes, vcombine_s8(first, second));
        memcpy(output, bytes, (size_t)count);
    }
}

static inline ew_sums ew_bias_of(const struct ew_factors *factors, int32_t channel)
{
    const int32_t *bias = factors->bias + channel;
    const ew_sums sums = {{vld1q_s32(bias), vld1q_s32(bias + 4), vld1q_s32(bias + 8), vld1q_s32(bias + 12)}};

    return sums;
}

#endif
