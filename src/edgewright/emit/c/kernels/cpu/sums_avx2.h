/* Sums of sixteen output channels with AVX2, and their way to bytes. */
#ifndef EW_SUMS_AVX2_H
#define EW_SUMS_AVX2_H

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

/* As ew_requantize where all shifts are below 0, for abs(sums) < 2**30. The sign of a sum is that of its product, or the product is 0. */
static inline __m256i ew_scale_down(__m256i sums, __m256i multiplier, __m256i shift)
{
    const __m256i round = _mm256_set1_epi64x((int64_t)1 << 31), x = _mm256_add_epi32(sums, sums);
    const __m256i right = _mm256_sub_epi32(_mm256_setzero_si256(), shift);
    const __m256i half = _mm256_srli_epi32(_mm256_sllv_epi32(_mm256_set1_epi32(1), right), 1);
    const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(x, multiplier), round);
    const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(multiplier, 32)), round);
    const __m256i high = _mm256_blend_epi32(_mm256_shuffle_epi32(even, 0xF5), odd, 0xAA);

    return _mm256_srav_epi32(_mm256_add_epi32(_mm256_add_epi32(high, half), _mm256_srai_epi32(sums, 31)), right);
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

/* Sixteen bytes of two vectors of eight numbers of 32 bits, with a zero point. */
static inline __m128i ew_pack_sums(__m256i a, __m256i b, int32_t zero_point)
{
    const __m256i words = _mm256_adds_epi16(_mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8), _mm256_set1_epi16((short)zero_point));

    return _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

/* The first `count` of the sixteen, as bytes. */
static inline void ew_put_sums(const struct ew_scaling *scaling, ew_sums sums, int8_t *output, int32_t count)
{
    const struct ew_factors *factors = scaling->factors;
    __m256i parts[2];
    __m128i packed;

    EW_UNROLL
    for (int i = 0; i < 2; i++) {
        const int32_t channel = scaling->channel + 8 * i;
        const __m256i multiplier = _mm256_loadu_si256((const __m256i *)(const void *)(factors->multiplier + channel));
        const __m256i shift = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(factors->shift + channel)));

        parts[i] = factors->simple ? ew_scale_down(sums.half[i], multiplier, shift) : ew_scale(sums.half[i], multiplier, shift);
    }
    packed = _mm_max_epi8(ew_pack_sums(parts[0], parts[1], factors->zero_point), _mm_set1_epi8((char)factors->low));
    packed = _mm_min_epi8(packed, _mm_set1_epi8((char)factors->high));
    if (count == EW_LANES) {
        _mm_storeu_si128((__m128i *)(void *)output, packed);
    } else {
        int8_t bytes[EW_LANES];

        _mm_storeu_si128((__m128i *)(void *)bytes, packed);
        memcpy(output, bytes, (size_t)count);
    }
}

static inline ew_sums ew_bias_of(const struct ew_factors *factors, int32_t channel)
{
    const __m256i *bias = (const __m256i *)(const void *)(factors->bias + channel);
    const __m256i *excess = (const __m256i *)(const void *)(factors->excess + channel);
    const ew_sums sums = {{_mm256_sub_epi32(_mm256_loadu_si256(bias), _mm256_loadu_si256(excess)),
                           _mm256_sub_epi32(_mm256_loadu_si256(bias + 1), _mm256_loadu_si256(excess + 1))}};

    return sums;
}

#endif
