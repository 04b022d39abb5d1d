/* The inner loop of the matrix products for x86: four rows of weights with two columns of inputs. */
#ifndef EW_MULTIPLY_4X2_H
#define EW_MULTIPLY_4X2_H

#include "kernel.h"
#include "multiply_add.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>

/* `weights`: four rows, interleaved byte by byte. sums[2 * r + c] += row r with column c. Returns the end of the weights.
 *
 * VPDPBUSD multiplies unsigned bytes by signed ones: it is given x + 128, and 128 * sum(weights), summed along, is taken off again.
 * Neither it nor the sums saturate: they wrap. */
static inline const int8_t *ew_multiply_4x2(const int8_t *weights, const int8_t *x0, const int8_t *x1, int32_t length, int32_t sums[8])
{
    /* Within 16 bytes, which are four steps: from step by step to row by row. */
    const __m512i by_row = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m512i fours = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i offset = _mm512_set1_epi8(-128);
    const __m128i flip = _mm_set1_epi8(-128);
    __m512i a = _mm512_setzero_si512(), b = _mm512_setzero_si512(), excess = _mm512_setzero_si512(), pairs;
    __m256i low, high, total;

    for (int32_t k = 0; k < length; k += 16) {
        const __mmask16 here = (__mmask16)(length - k >= 16 ? 0xFFFFu : (1u << (length - k)) - 1u);
        const __m512i w = _mm512_shuffle_epi8(_mm512_maskz_loadu_epi32(here, weights + 4 * k), by_row);
        const __m128i x = _mm_xor_si128(_mm_maskz_loadu_epi8(here, x0 + k), flip);
        const __m128i y = _mm_xor_si128(_mm_maskz_loadu_epi8(here, x1 + k), flip);

        a = _mm512_dpbusd_epi32(a, _mm512_permutexvar_epi32(fours, _mm512_castsi128_si512(x)), w);
        b = _mm512_dpbusd_epi32(b, _mm512_permutexvar_epi32(fours, _mm512_castsi128_si512(y)), w);
        excess = _mm512_dpbusd_epi32(excess, offset, w);
    }
    a = _mm512_sub_epi32(a, excess);
    b = _mm512_sub_epi32(b, excess);
    pairs = _mm512_unpacklo_epi32(a, b);
    low = _mm256_add_epi32(_mm512_castsi512_si256(pairs), _mm512_extracti64x4_epi64(pairs, 1));
    pairs = _mm512_unpackhi_epi32(a, b);
    high = _mm256_add_epi32(_mm512_castsi512_si256(pairs), _mm512_extracti64x4_epi64(pairs, 1));
    /* Each half of these has two rows of both columns. */
    total = _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
    total = _mm256_add_epi32(total, _mm256_loadu_si256((const __m256i *)(const void *)sums));
    _mm256_storeu_si256((__m256i *)(void *)sums, total);
    return weights + 4 * length;
}

#else
#if defined(__AVX2__)
#include <immintrin.h>

/* The first length / 8 * 8 steps of ew_multiply_4x2, for pairs of halves: VPMADDWD is exact. */
static inline void ew_multiply_4x2_by_8(const int8_t *weights, const int8_t *x0, const int8_t *x1, int32_t length, int32_t sums[8])
{
    /* Within 16 bytes, which are four steps: first two of them, row by row, then the other two. */
    const __m128i by_row = _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    const __m256i first = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1), second = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
    __m256i a = _mm256_setzero_si256(), b = _mm256_setzero_si256(), low, high;

    for (int32_t k = 0; k + 8 <= length; k += 8) {
        const __m128i *const at = (const __m128i *)(const void *)(weights + 4 * k);
        const __m256i v = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(_mm_loadu_si128(at), by_row));
        const __m256i w = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(_mm_loadu_si128(at + 1), by_row));
        const __m256i x = _mm256_castsi128_si256(_mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)(x0 + k))));
        const __m256i y = _mm256_castsi128_si256(_mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)(x1 + k))));

        a = _mm256_add_epi32(a, _mm256_madd_epi16(v, _mm256_permutevar8x32_epi32(x, first)));
        b = _mm256_add_epi32(b, _mm256_madd_epi16(v, _mm256_permutevar8x32_epi32(y, first)));
        a = _mm256_add_epi32(a, _mm256_madd_epi16(w, _mm256_permutevar8x32_epi32(x, second)));
        b = _mm256_add_epi32(b, _mm256_madd_epi16(w, _mm256_permutevar8x32_epi32(y, second)));
    }
    /* Each half of these has two rows of both columns. */
    low = _mm256_unpacklo_epi32(a, b);
    high = _mm256_unpackhi_epi32(a, b);
    a = _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
    _mm256_storeu_si256((__m256i *)(void *)sums, _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)(const void *)sums), a));
}
#endif

/* `weights`: four rows, interleaved byte by byte. sums[2 * r + c] += row r with column c. Returns the end of the weights. */
static inline const int8_t *ew_multiply_4x2(const int8_t *weights, const int8_t *x0, const int8_t *x1, int32_t length, int32_t sums[8])
{
    int32_t k = 0;

#if defined(__AVX2__)
    k = length & ~7;
    ew_multiply_4x2_by_8(weights, x0, x1, k, sums);
#endif
    for (; k < length; k++) {
        for (int32_t row = 0; row < 4; row++) {
            sums[2 * row] = ew_multiply_add(sums[2 * row], weights[4 * k + row], x0[k]);
            sums[2 * row + 1] = ew_multiply_add(sums[2 * row + 1], weights[4 * k + row], x1[k]);
        }
    }
    return weights + 4 * length;
}
#endif

#endif
