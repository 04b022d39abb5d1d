/* Sixty-four positions side by side, one input after the other, and their products with weights that name their inputs. */
#ifndef EW_SPARSE_TILE_H
#define EW_SPARSE_TILE_H

#include "lanes.h"

#define EW_TILE 64

#if defined(EW_AVX512)
typedef __m512i ew_bytes;
#define EW_ZIP_LOW(a, b) _mm512_unpacklo_epi8(a, b)
#define EW_ZIP_HIGH(a, b) _mm512_unpackhi_epi8(a, b)
#define EW_ZIPS
#elif defined(EW_AVX2)
typedef __m128i ew_bytes;
#define EW_ZIP_LOW(a, b) _mm_unpacklo_epi8(a, b)
#define EW_ZIP_HIGH(a, b) _mm_unpackhi_epi8(a, b)
#define EW_ZIPS
#elif defined(EW_NEON)
typedef int8x16_t ew_bytes;
#define EW_ZIP_LOW(a, b) vzip1q_s8(a, b)
#define EW_ZIP_HIGH(a, b) vzip2q_s8(a, b)
#define EW_ZIPS
#endif

#if defined(EW_ZIPS)
/* Rows i and i + 8 byte by byte; four times over, sixteen rows of sixteen bytes become columns. */
EW_INLINE void ew_zip_rows(ew_bytes to[EW_LANES], const ew_bytes from[EW_LANES])
{
    EW_UNROLL
    for (int i = 0; i < EW_LANES / 2; i++) {
        to[2 * i] = EW_ZIP_LOW(from[i], from[i + EW_LANES / 2]);
        to[2 * i + 1] = EW_ZIP_HIGH(from[i], from[i + EW_LANES / 2]);
    }
}

EW_INLINE void ew_transpose_bytes(ew_bytes rows[EW_LANES])
{
    ew_bytes other[EW_LANES];

    ew_zip_rows(other, rows);
    ew_zip_rows(rows, other);
    ew_zip_rows(other, rows);
    ew_zip_rows(rows, other);
}
#endif

#if defined(EW_AVX512)

/* `count` positions of `inputs` bytes each; 128 is added to each byte. */
EW_KERNEL void ew_fill_tile(const int8_t *input, int32_t inputs, int32_t count, int8_t *tile)
{
    for (int32_t k = 0; k < inputs; k += EW_LANES) {
        const int32_t left = inputs - k < EW_LANES ? inputs - k : EW_LANES;
        const __mmask16 mask = (__mmask16)((1u << left) - 1u);
        ew_bytes rows[EW_LANES];

        EW_UNROLL
        for (int32_t p = 0; p < EW_LANES; p++) {
            __m128i parts[4];

            EW_UNROLL
            for (int32_t part = 0; part < 4; part++) {
                const int32_t at = p + EW_LANES * part;

                parts[part] = _mm_maskz_loadu_epi8(at < count ? mask : (__mmask16)0, input + (at < count ? at : 0) * inputs + k);
            }
            rows[p] = _mm512_inserti32x4(_mm512_castsi128_si512(parts[0]), parts[1], 1);
            rows[p] = _mm512_inserti32x4(_mm512_inserti32x4(rows[p], parts[2], 2), parts[3], 3);
            rows[p] = _mm512_xor_si512(rows[p], _mm512_set1_epi8(-128));
        }
        ew_transpose_bytes(rows);
        for (int32_t i = 0; i < left; i++) {
            _mm512_storeu_si512(tile + (k + i) * EW_TILE, rows[i]);
        }
    }
}

/* Sixteen bytes of each of `count` positions, `step` bytes apart; `bytes` has a row of EW_TILE for each of the first `outputs`. */
EW_KERNEL void ew_put_columns(const int8_t *bytes, int32_t outputs, int32_t count, int8_t *output, int32_t step)
{
    const __mmask16 mask = (__mmask16)((1u << outputs) - 1u);
    ew_bytes rows[EW_LANES];

    EW_UNROLL
    for (int32_t i = 0; i < EW_LANES; i++) {
        rows[i] = _mm512_loadu_si512(bytes + i * EW_TILE);
    }
    ew_transpose_bytes(rows);
    EW_UNROLL
    for (int32_t p = 0; p < EW_LANES; p++) {
        if (p < count) {
            _mm_mask_storeu_epi8(output + p * step, mask, _mm512_castsi512_si128(rows[p]));
        }
        if (p + 16 < count) {
            _mm_mask_storeu_epi8(output + (p + 16) * step, mask, _mm512_extracti32x4_epi32(rows[p], 1));
        }
        if (p + 32 < count) {
            _mm_mask_storeu_epi8(output + (p + 32) * step, mask, _mm512_extracti32x4_epi32(rows[p], 2));
        }
        if (p + 48 < count) {
            _mm_mask_storeu_epi8(output + (p + 48) * step, mask, _mm512_extracti32x4_epi32(rows[p], 3));
        }
    }
}

#else

/* `count` positions of `inputs` bytes each. */
EW_KERNEL void ew_fill_tile(const int8_t *input, int32_t inputs, int32_t count, int8_t *tile)
{
    int32_t k = 0;

#if defined(EW_ZIPS)
    for (; k + EW_LANES <= inputs; k += EW_LANES) {
        for (int32_t first = 0; first < count; first += EW_LANES) {
            ew_bytes rows[EW_LANES];

            EW_UNROLL
            for (int32_t p = 0; p < EW_LANES; p++) {
                memcpy(&rows[p], input + (first + p < count ? first + p : 0) * inputs + k, EW_LANES);
            }
            ew_transpose_bytes(rows);
            EW_UNROLL
            for (int32_t i = 0; i < EW_LANES; i++) {
                memcpy(tile + (k + i) * EW_TILE + first, &rows[i], EW_LANES);
            }
        }
    }
#endif
    for (; k < inputs; k++) {
        for (int32_t p = 0; p < EW_TILE; p++) {
            tile[k * EW_TILE + p] = input[(p < count ? p : 0) * inputs + k];
        }
    }
}

/* Sixteen bytes of each of `count` positions, `step` bytes apart; `bytes` has a row of EW_TILE for each of the first `outputs`. */
EW_KERNEL void ew_put_columns(const int8_t *bytes, int32_t outputs, int32_t count, int8_t *output, int32_t step)
{
#if defined(EW_ZIPS)
    for (int32_t first = 0; first < count && outputs == EW_LANES; first += EW_LANES) {
        ew_bytes rows[EW_LANES];

        EW_UNROLL
        for (int32_t i = 0; i < EW_LANES; i++) {
            memcpy(&rows[i], bytes + i * EW_TILE + first, EW_LANES);
        }
        ew_transpose_bytes(rows);
        EW_UNROLL
        for (int32_t p = 0; p < EW_LANES; p++) {
            if (first + p < count) {
                memcpy(output + (first + p) * step, &rows[p], EW_LANES);
            }
        }
    }
    if (outputs == EW_LANES) {
        return;
    }
#endif
    for (int32_t p = 0; p < count; p++) {
        for (int32_t i = 0; i < outputs; i++) {
            output[p * step + i] = bytes[i * EW_TILE + p];
        }
    }
}

#endif
#endif
