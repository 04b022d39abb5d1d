/* Sixteen channels of one position of a depthwise convolution. */
#ifndef EW_DEPTHWISE_QUADS_H
#define EW_DEPTHWISE_QUADS_H

#include "sums.h"

#if defined(EW_AVX2) || defined(EW_SSE2)

static inline __m128i ew_load_some(const int8_t *from, int32_t count)
{
    int8_t bytes[EW_LANES] = {0};

    if (count == EW_LANES) {
        return _mm_loadu_si128((const __m128i *)(const void *)from);
    }
    memcpy(bytes, from, (size_t)count);
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

#endif

/* sums + the products of `quads` times four taps with sixteen channels, `count` of which exist. Tap i sees taps[i] + channel. `weights`: for
 * each four taps, those of each channel. */
#if defined(EW_AVX512)

EW_INLINE ew_sums ew_depthwise_quads(const int8_t *weights, const int8_t *const *taps, int32_t quads, int32_t channel, int32_t count,
                                     ew_sums sums)
{
    const __m512i flip = _mm512_set1_epi8(-128);
    const __m512i words = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i bytes = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __mmask16 mask = (__mmask16)((1u << count) - 1u);

    for (int32_t quad = 0; quad < quads; quad++) {
        const __m128i a = _mm_maskz_loadu_epi8(mask, taps[0] + channel), b = _mm_maskz_loadu_epi8(mask, taps[1] + channel);
        const __m128i c = _mm_maskz_loadu_epi8(mask, taps[2] + channel), d = _mm_maskz_loadu_epi8(mask, taps[3] + channel);
        const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
        const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(c), d, 1);
        const __m512i all = _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1), flip);
        const __m512i x = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(words, all), bytes);

        sums = _mm512_dpbusd_epi32(sums, x, _mm512_loadu_si512(weights));
        weights += 4 * EW_LANES;
        taps += 4;
    }
    return sums;
}

#elif defined(EW_AVX2)

/* Two taps of eight channels, side by side, times their weights. */
static inline __m256i ew_two_taps(__m256i sums, __m128i x, __m256i weights)
{
    return _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_cvtepu8_epi16(x), weights));
}

EW_INLINE ew_sums ew_depthwise_quads(const int8_t *weights, const int8_t *const *taps, int32_t quads, int32_t channel, int32_t count,
                                     ew_sums sums)
{
    /* Of four channels' four taps each, the first two taps and the last two. */
    const __m256i firsts = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
    const __m128i flip = _mm_set1_epi8(-128);

    for (int32_t quad = 0; quad < quads; quad++) {
        __m128i x[4];
        __m256i w[4];

        EW_UNROLL
        for (int i = 0; i < 4; i++) {
            const __m128i four = _mm_loadu_si128((const __m128i *)(const void *)(weights + EW_LANES * i));

            x[i] = _mm_xor_si128(ew_load_some(taps[i] + channel, count), flip);
            w[i] = _mm256_permutevar8x32_epi32(_mm256_cvtepi8_epi16(four), firsts);
        }
        EW_UNROLL
        for (int i = 0; i < 2; i++) {
            const __m128i ab = i ? _mm_unpackhi_epi8(x[0], x[1]) : _mm_unpacklo_epi8(x[0], x[1]);
            const __m128i cd = i ? _mm_unpackhi_epi8(x[2], x[3]) : _mm_unpacklo_epi8(x[2], x[3]);

            sums.half[i] = ew_two_taps(sums.half[i], ab, _mm256_permute2x128_si256(w[2 * i], w[2 * i + 1], 0x20));
            sums.half[i] = ew_two_taps(sums.half[i], cd, _mm256_permute2x128_si256(w[2 * i], w[2 * i + 1], 0x31));
        }
        weights += 4 * EW_LANES;
        taps += 4;
    }
    return sums;
}

#elif defined(EW_SSE2)

EW_INLINE ew_sums ew_depthwise_quads(const int8_t *weights, const int8_t *const *taps, int32_t quads, int32_t channel, int32_t count,
                                     ew_sums sums)
{
    for (int32_t quad = 0; quad < quads; quad++) {
        const __m128i x0 = ew_load_some(taps[0] + channel, count), x1 = ew_load_some(taps[1] + channel, count);
        const __m128i x2 = ew_load_some(taps[2] + channel, count), x3 = ew_load_some(taps[3] + channel, count);

        EW_UNROLL
        for (int i = 0; i < 4; i++) {
            /* Four channels: the first two taps of each, and the last two. */
            const __m128i ab = i < 2 ? _mm_unpacklo_epi8(x0, x1) : _mm_unpackhi_epi8(x0, x1);
            const __m128i cd = i < 2 ? _mm_unpacklo_epi8(x2, x3) : _mm_unpackhi_epi8(x2, x3);
            const __m128i w = _mm_loadu_si128((const __m128i *)(const void *)(weights + 16 * i));
            const __m128i low = ew_low_halves(w), high = ew_high_halves(w);
            const __m128i first = _mm_madd_epi16(i % 2 ? ew_high_halves(ab) : ew_low_halves(ab), ew_even_words(low, high));
            const __m128i last = _mm_madd_epi16(i % 2 ? ew_high_halves(cd) : ew_low_halves(cd), ew_odd_words(low, high));
            __m128i *const to = (__m128i *)(void *)(sums.lane + 4 * i);

            _mm_storeu_si128(to, _mm_add_epi32(_mm_loadu_si128(to), _mm_add_epi32(first, last)));
        }
        weights += 4 * EW_LANES;
        taps += 4;
    }
    return sums;
}

#elif defined(EW_NEON)

static inline int8x16_t ew_load_some(const int8_t *from, int32_t count)
{
    int8_t bytes[EW_LANES] = {0};

    if (count == EW_LANES) {
        return vld1q_s8(from);
    }
    memcpy(bytes, from, (size_t)count);
    return vld1q_s8(bytes);
}

EW_INLINE ew_sums ew_depthwise_quads(const int8_t *weights, const int8_t *const *taps, int32_t quads, int32_t channel, int32_t count,
                                     ew_sums sums)
{
    for (int32_t quad = 0; quad < quads; quad++) {
        const int8x16x4_t w = vld4q_s8(weights);

        EW_UNROLL
        for (int i = 0; i < 4; i++) {
            const int8x16_t x = ew_load_some(taps[i] + channel, count);
            const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(w.val[i])), high = vmull_high_s8(x, w.val[i]);

            sums.part[0] = vaddw_s16(sums.part[0], vget_low_s16(low));
            sums.part[1] = vaddw_high_s16(sums.part[1], low);
            sums.part[2] = vaddw_s16(sums.part[2], vget_low_s16(high));
            sums.part[3] = vaddw_high_s16(sums.part[3], high);
        }
        weights += 4 * EW_LANES;
        taps += 4;
    }
    return sums;
}

#else

EW_INLINE ew_sums ew_depthwise_quads(const int8_t *weights, const int8_t *const *taps, int32_t quads, int32_t channel, int32_t count,
                                     ew_sums sums)
{
    for (int32_t tap = 0; tap < 4 * quads; tap++) {
        for (int32_t i = 0; i < count; i++) {
            const int32_t product = weights[4 * EW_LANES * (tap / 4) + 4 * i + tap % 4] * taps[tap][channel + i];

            sums.lane[i] = (int32_t)((uint32_t)sums.lane[i] + (uint32_t)product);
        }
    }
    return sums;
}

#endif
#endif
