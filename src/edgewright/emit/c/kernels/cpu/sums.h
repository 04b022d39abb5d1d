/* Sums of sixteen output channels, and their way to bytes. */
#ifndef EW_SUMS_H
#define EW_SUMS_H

#include "clamp.h"
#include "lanes.h"
#include "requantize.h"

/* One number for each output channel, sixteen for each block of them. */
struct ew_factors {
    const int32_t *bias, *multiplier;
    const int8_t *shift;
    int32_t zero_point, low, high;
};

#if defined(EW_AVX512)

typedef __m512i ew_sums;

/* The factors of sixteen channels: those with odd numbers once more, where the 64-bit product wants them. */
struct ew_scaling {
    __m512i even, odd, left, right;
    __mmask16 shifted;
    __m512i low, high, zero_point;
};

static inline struct ew_scaling ew_scaling_of(const struct ew_factors *factors, int32_t channel)
{
    const __m512i multiplier = _mm512_loadu_si512(factors->multiplier + channel);
    const __m512i shift = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(factors->shift + channel)));
    const __m512i zero = _mm512_setzero_si512();
    const struct ew_scaling scaling = {multiplier,
                                       _mm512_srli_epi64(multiplier, 32),
                                       _mm512_max_epi32(shift, zero),
                                       _mm512_max_epi32(_mm512_sub_epi32(_mm512_set1_epi32(-1), shift), zero),
                                       _mm512_movepi32_mask(shift),
                                       _mm512_set1_epi32(factors->low - factors->zero_point),
                                       _mm512_set1_epi32(factors->high - factors->zero_point),
                                       _mm512_set1_epi32(factors->zero_point)};

    return scaling;
}

/* As ew_requantize: the first rounding in 64 bits, the second in 32. */
static inline __m512i ew_scale(const struct ew_scaling *scaling, ew_sums sums)
{
    const __m512i half = _mm512_set1_epi64((int64_t)1 << 30);
    const __m512i x = _mm512_sllv_epi32(sums, scaling->left);
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(x, scaling->even), half);
    const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(x, 32), scaling->odd), half);
    const __m512i high = _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 31), 0xAAAA, _mm512_slli_epi64(odd, 1));
    const __m512i once = _mm512_srav_epi32(_mm512_add_epi32(high, _mm512_srai_epi32(high, 31)), scaling->right);

    return _mm512_mask_srai_epi32(high, scaling->shifted, _mm512_add_epi32(once, _mm512_set1_epi32(1)), 1);
}

/* The first `count` of the sixteen, as bytes. */
static inline void ew_put_sums(const struct ew_scaling *scaling, ew_sums sums, int8_t *output, int32_t count)
{
    const __m512i within = _mm512_min_epi32(_mm512_max_epi32(ew_scale(scaling, sums), scaling->low), scaling->high);
    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(within, scaling->zero_point));

    _mm_mask_storeu_epi8(output, (__mmask16)((1u << count) - 1u), bytes);
}

static inline ew_sums ew_bias_of(const struct ew_factors *factors, int32_t channel)
{
    return _mm512_loadu_si512(factors->bias + channel);
}

#elif defined(EW_AVX2)

typedef struct {
    __m256i half[2];
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

/* As ew_requantize: the first rounding in 64 bits, the second in 32. */
static inline __m256i ew_scale(__m256i sums, __m256i multiplier, __m256i shift)
{
    const __m256i half = _mm256_set1_epi64x((int64_t)1 << 30), zero = _mm256_setzero_si256();
    const __m256i x = _mm256_sllv_epi32(sums, _mm256_max_epi32(shift, zero));
    const __m256i right = _mm256_max_epi32(_mm256_sub_epi32(_mm256_set1_epi32(-1), shift), zero);
    const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(x, multiplier), half);
    const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(multiplier, 32)), half);
    const __m256i high = _mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1), 0xAA);
    const __m256i once = _mm256_srav_epi32(_mm256_add_epi32(high, _mm256_srai_epi32(high, 31)), right);
    const __m256i twice = _mm256_srai_epi32(_mm256_add_epi32(once, _mm256_set1_epi32(1)), 1);

    return _mm256_blendv_epi8(high, twice, _mm256_srai_epi32(shift, 31));
}

/* The first `count` of the sixteen, as bytes. */
static inline void ew_put_sums(const struct ew_scaling *scaling, ew_sums sums, int8_t *output, int32_t count)
{
    const struct ew_factors *factors = scaling->factors;
    const __m256i low = _mm256_set1_epi32(factors->low - factors->zero_point);
    const __m256i high = _mm256_set1_epi32(factors->high - factors->zero_point);
    __m256i parts[2];
    int8_t bytes[EW_LANES];

    for (int i = 0; i < 2; i++) {
        const int32_t channel = scaling->channel + 8 * i;
        const __m256i multiplier = _mm256_loadu_si256((const __m256i *)(const void *)(factors->multiplier + channel));
        const __m256i shift = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(factors->shift + channel)));

        parts[i] = _mm256_min_epi32(_mm256_max_epi32(ew_scale(sums.half[i], multiplier, shift), low), high);
        parts[i] = _mm256_add_epi32(parts[i], _mm256_set1_epi32(factors->zero_point));
    }
    parts[0] = _mm256_permute4x64_epi64(_mm256_packs_epi32(parts[0], parts[1]), 0xD8);
    _mm_storeu_si128((__m128i *)(void *)bytes, _mm_packs_epi16(_mm256_castsi256_si128(parts[0]), _mm256_extracti128_si256(parts[0], 1)));
    memcpy(output, bytes, (size_t)count);
}

static inline ew_sums ew_bias_of(const struct ew_factors *factors, int32_t channel)
{
    const __m256i *from = (const __m256i *)(const void *)(factors->bias + channel);
    const ew_sums sums = {{_mm256_loadu_si256(from), _mm256_loadu_si256(from + 1)}};

    return sums;
}

#else

typedef struct {
    int32_t lane[EW_LANES];
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

/* The first `count` of the sixteen, as bytes. */
static inline void ew_put_sums(const struct ew_scaling *scaling, ew_sums sums, int8_t *output, int32_t count)
{
    const struct ew_factors *factors = scaling->factors;

    for (int32_t i = 0; i < count; i++) {
        const int32_t channel = scaling->channel + i;

        output[i] = ew_clamp(ew_requantize(sums.lane[i], factors->multiplier[channel], factors->shift[channel]), factors->zero_point,
                             factors->low, factors->high);
    }
}

static inline ew_sums ew_bias_of(const struct ew_factors *factors, int32_t channel)
{
    ew_sums sums;

    memcpy(sums.lane, factors->bias + channel, sizeof sums.lane);
    return sums;
}

#endif
#endif
