/* Sums of sixteen output channels with AVX-512, and their way to bytes. */
#ifndef EW_SUMS_AVX512_H
#define EW_SUMS_AVX512_H

/* Sums are those of inputs to which 128 was added, less the excess. */
typedef __m512i ew_sums;

/* The factors of sixteen channels; the multipliers of those with odd numbers once more, where the 64-bit product wants them. */
struct ew_scaling {
    __m512i even, odd, shift, right, half;
    __m512i low, high, zero_point;
    int32_t simple;
};

EW_INLINE struct ew_scaling ew_scaling_from(__m512i multiplier, __m512i shift, int32_t simple)
{
    const __m512i zero = _mm512_setzero_si512(), right = _mm512_sub_epi32(zero, shift);
    const __m512i half = _mm512_srli_epi32(_mm512_sllv_epi32(_mm512_set1_epi32(1), right), 1);
    const struct ew_scaling scaling = {multiplier, _mm512_srli_epi64(multiplier, 32), shift, right, half, zero, zero, zero, simple};

    return scaling;
}

EW_INLINE struct ew_scaling ew_scaling_of(const struct ew_factors *factors, int32_t channel)
{
    const __m128i shift = _mm_loadu_si128((const __m128i *)(const void *)(factors->shift + channel));
    struct ew_scaling scaling = ew_scaling_from(_mm512_loadu_si512(factors->multiplier + channel), _mm512_cvtepi8_epi32(shift),
                                                factors->simple);

    scaling.low = _mm512_set1_epi8((char)factors->low);
    scaling.high = _mm512_set1_epi8((char)factors->high);
    scaling.zero_point = _mm512_set1_epi16((short)factors->zero_point);
    return scaling;
}

/* x * multiplier / 2**32, rounded to nearest, halves up. */
EW_INLINE __m512i ew_high_products(const struct ew_scaling *scaling, __m512i x)
{
    const __m512i half = _mm512_set1_epi64((int64_t)1 << 31);
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(x, scaling->even), half);
    const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(x, 32), scaling->odd), half);

    return _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
}

/* As ew_requantize where all shifts are below 0, for abs(sums) < 2**30. The sign of a sum is that of its product, or the product is 0. */
EW_INLINE __m512i ew_scale_down(const struct ew_scaling *scaling, ew_sums sums)
{
    const __m512i high = _mm512_add_epi32(ew_high_products(scaling, _mm512_add_epi32(sums, sums)), scaling->half);

    return _mm512_srav_epi32(_mm512_add_epi32(high, _mm512_srai_epi32(sums, 31)), scaling->right);
}

/* As ew_requantize: the first rounding in 64 bits, the second in 32. */
EW_INLINE __m512i ew_scale_any(const struct ew_scaling *scaling, ew_sums sums)
{
    const __m512i half = _mm512_set1_epi64((int64_t)1 << 30), zero = _mm512_setzero_si512();
    const __m512i x = _mm512_sllv_epi32(sums, _mm512_max_epi32(scaling->shift, zero));
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(x, scaling->even), half);
    const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(x, 32), scaling->odd), half);
    const __m512i high = _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 31), 0xAAAA, _mm512_slli_epi64(odd, 1));
    const __m512i right = _mm512_max_epi32(_mm512_sub_epi32(scaling->right, _mm512_set1_epi32(1)), zero);
    const __m512i once = _mm512_srav_epi32(_mm512_add_epi32(high, _mm512_srai_epi32(high, 31)), right);

    return _mm512_mask_srai_epi32(high, _mm512_movepi32_mask(scaling->shift), _mm512_add_epi32(once, _mm512_set1_epi32(1)), 1);
}

/* Four vectors of sixteen numbers of 32 bits as bytes, zero point and bounds applied: of each the first four, of each the next four, … */
EW_INLINE __m512i ew_join_sums(const struct ew_scaling *scaling, __m512i a, __m512i b, __m512i c, __m512i d)
{
    const __m512i ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), scaling->zero_point);
    const __m512i cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), scaling->zero_point);

    return _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(ab, cd), scaling->low), scaling->high);
}

/* The same, sixteen bytes of each, one after the other. */
EW_INLINE __m512i ew_pack_sums(const struct ew_scaling *scaling, __m512i a, __m512i b, __m512i c, __m512i d)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);

    return _mm512_permutexvar_epi32(order, ew_join_sums(scaling, a, b, c, d));
}

/* The first `count` of the sixteen, as bytes. */
EW_INLINE void ew_put_sums(const struct ew_scaling *scaling, ew_sums sums, int8_t *output, int32_t count)
{
    const __m512i x = scaling->simple ? ew_scale_down(scaling, sums) : ew_scale_any(scaling, sums);
    const __m512i bytes = ew_pack_sums(scaling, x, x, x, x);

    _mm_mask_storeu_epi8(output, (__mmask16)((1u << count) - 1u), _mm512_castsi512_si128(bytes));
}

/* The first `count` of the sixteen of `many` positions, up to four, `step` bytes apart. */
EW_INLINE void ew_put_four(const struct ew_scaling *scaling, ew_sums a, ew_sums b, ew_sums c, ew_sums d, int8_t *output, int32_t step,
                               int32_t many, int32_t count)
{
    const __mmask16 mask = (__mmask16)((1u << count) - 1u);
    __m512i bytes;

    if (scaling->simple) {
        bytes = ew_pack_sums(scaling, ew_scale_down(scaling, a), ew_scale_down(scaling, b), ew_scale_down(scaling, c),
                             ew_scale_down(scaling, d));
    } else {
        bytes = ew_pack_sums(scaling, ew_scale_any(scaling, a), ew_scale_any(scaling, b), ew_scale_any(scaling, c),
                             ew_scale_any(scaling, d));
    }
    _mm_mask_storeu_epi8(output, mask, _mm512_castsi512_si128(bytes));
    if (many > 1) {
        _mm_mask_storeu_epi8(output + step, mask, _mm512_extracti32x4_epi32(bytes, 1));
    }
    if (many > 2) {
        _mm_mask_storeu_epi8(output + 2 * step, mask, _mm512_extracti32x4_epi32(bytes, 2));
    }
    if (many > 3) {
        _mm_mask_storeu_epi8(output + 3 * step, mask, _mm512_extracti32x4_epi32(bytes, 3));
    }
}

static inline ew_sums ew_bias_of(const struct ew_factors *factors, int32_t channel)
{
    return _mm512_sub_epi32(_mm512_loadu_si512(factors->bias + channel), _mm512_loadu_si512(factors->excess + channel));
}

#endif
