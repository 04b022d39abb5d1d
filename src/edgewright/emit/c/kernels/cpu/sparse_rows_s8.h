/* Matrix products whose weights are mostly zeros: 1x1 convolutions, and dense layers on many vectors. */
#ifndef EW_SPARSE_ROWS_S8_H
#define EW_SPARSE_ROWS_S8_H

#include "sparse_tile.h"
#include "sums.h"

/* A tile has room for so many inputs. */
#define EW_MOST_INPUTS 1024

/* Weights that are not zero, four by four: `counts` times four for each output, one after the other, with zeros up to whole fours; `sources`
 * says which input each multiplies. The other tables have a number for each output: see struct ew_factors. */
struct ew_sparse_rows_s8 {
    int32_t positions, inputs, outputs;
    int32_t simple, output_zero_point, output_min, output_max;
    const uint16_t *counts, *sources;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *excess;
    const int32_t *multiplier;
    const int8_t *shift;
};

#if defined(EW_AVX512)

/* One output at the positions of a tile: `many` fours of weights. */
static inline void ew_sparse_row(const struct ew_sparse_rows_s8 *layer, int32_t output, const int8_t *tile, const uint16_t *sources,
                                 const int8_t *weights, int32_t count, int8_t *bytes)
{
    const int32_t many = layer->counts[output];
    __m512i a = _mm512_set1_epi32((int32_t)((uint32_t)layer->bias[output] - (uint32_t)layer->excess[output])), b = a, c = a, d = a;
    struct ew_scaling scaling = ew_scaling_from(_mm512_set1_epi32(layer->multiplier[output]), _mm512_set1_epi32(layer->shift[output]),
                                                layer->simple);

    (void)count;
    for (int32_t i = 0; i < 4 * many; i += 4) {
        const __m512i w = _mm512_set1_epi32(ew_load_4(weights + i));
        const __m512i x0 = _mm512_loadu_si512(tile + sources[i] * EW_TILE), x1 = _mm512_loadu_si512(tile + sources[i + 1] * EW_TILE);
        const __m512i x2 = _mm512_loadu_si512(tile + sources[i + 2] * EW_TILE), x3 = _mm512_loadu_si512(tile + sources[i + 3] * EW_TILE);
        const __m512i low = _mm512_unpacklo_epi8(x0, x1), high = _mm512_unpackhi_epi8(x0, x1);
        const __m512i other_low = _mm512_unpacklo_epi8(x2, x3), other_high = _mm512_unpackhi_epi8(x2, x3);

        /* In each sixteen positions: the first four, the next, … */
        a = _mm512_dpbusd_epi32(a, _mm512_unpacklo_epi16(low, other_low), w);
        b = _mm512_dpbusd_epi32(b, _mm512_unpackhi_epi16(low, other_low), w);
        c = _mm512_dpbusd_epi32(c, _mm512_unpacklo_epi16(high, other_high), w);
        d = _mm512_dpbusd_epi32(d, _mm512_unpackhi_epi16(high, other_high), w);
    }
    scaling.low = _mm512_set1_epi8((char)layer->output_min);
    scaling.high = _mm512_set1_epi8((char)layer->output_max);
    scaling.zero_point = _mm512_set1_epi16((short)layer->output_zero_point);
    if (layer->simple) {
        a = ew_scale_down(&scaling, a);
        b = ew_scale_down(&scaling, b);
        c = ew_scale_down(&scaling, c);
        d = ew_scale_down(&scaling, d);
    } else {
        a = ew_scale_any(&scaling, a);
        b = ew_scale_any(&scaling, b);
        c = ew_scale_any(&scaling, c);
        d = ew_scale_any(&scaling, d);
    }
    _mm512_storeu_si512(bytes, ew_join_sums(&scaling, a, b, c, d));
}

#else

/* Sums of four weights with their inputs at sixteen positions. */
#if defined(EW_AVX2)
static inline void ew_add_four(int32_t *sums, const int8_t *tile, const uint16_t *sources, const int8_t *weights)
{
    __m256i *const to = (__m256i *)(void *)sums;
    __m256i low = _mm256_setzero_si256(), high = low;

    EW_UNROLL
    for (int i = 0; i < 4; i += 2) {
        const __m256i w = _mm256_set1_epi32((int32_t)((uint32_t)(uint16_t)weights[i] | (uint32_t)(uint16_t)weights[i + 1] << 16));
        const __m256i x = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(tile + sources[i] * EW_TILE)));
        const __m256i y = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(tile + sources[i + 1] * EW_TILE)));

        low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(x, y), w));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(x, y), w));
    }
    _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), _mm256_permute2x128_si256(low, high, 0x20)));
    _mm256_storeu_si256(to + 1, _mm256_add_epi32(_mm256_loadu_si256(to + 1), _mm256_permute2x128_si256(low, high, 0x31)));
}
#elif defined(EW_NEON)
static inline void ew_add_four(int32_t *sums, const int8_t *tile, const uint16_t *sources, const int8_t *weights)
{
    int32x4_t a = vld1q_s32(sums), b = vld1q_s32(sums + 4), c = vld1q_s32(sums + 8), d = vld1q_s32(sums + 12);

    EW_UNROLL
    for (int i = 0; i < 4; i++) {
        const int8x16_t x = vld1q_s8(tile + sources[i] * EW_TILE), w = vdupq_n_s8(weights[i]);
        const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(w)), high = vmull_high_s8(x, w);

        a = vaddw_s16(a, vget_low_s16(low));
        b = vaddw_high_s16(b, low);
        c = vaddw_s16(c, vget_low_s16(high));
        d = vaddw_high_s16(d, high);
    }
    vst1q_s32(sums, a);
    vst1q_s32(sums + 4, b);
    vst1q_s32(sums + 8, c);
    vst1q_s32(sums + 12, d);
}
#else
static inline void ew_add_four(int32_t *sums, const int8_t *tile, const uint16_t *sources, const int8_t *weights)
{
    EW_UNROLL
    for (int i = 0; i < 4; i++) {
        EW_UNROLL
        for (int p = 0; p < EW_LANES; p++) {
            sums[p] = (int32_t)((uint32_t)sums[p] + (uint32_t)(weights[i] * tile[sources[i] * EW_TILE + p]));
        }
    }
}
#endif

/* One output at `count` positions of a tile. */
static inline void ew_sparse_row(const struct ew_sparse_rows_s8 *layer, int32_t output, const int8_t *tile, const uint16_t *sources,
                                 const int8_t *weights, int32_t count, int8_t *bytes)
{
    int32_t sums[EW_LANES], excess[EW_LANES], multiplier[EW_LANES];
    int8_t shift[EW_LANES];
    const struct ew_factors factors = {sums,          excess, multiplier, shift, layer->simple, layer->output_zero_point, layer->output_min,
                                       layer->output_max};

    EW_UNROLL
    for (int i = 0; i < EW_LANES; i++) {
        excess[i] = 0;
        multiplier[i] = layer->multiplier[output];
        shift[i] = layer->shift[output];
    }
    for (int32_t first = 0; first < count; first += EW_LANES) {
        const struct ew_scaling scaling = ew_scaling_of(&factors, 0);

        EW_UNROLL
        for (int i = 0; i < EW_LANES; i++) {
            sums[i] = layer->bias[output];
        }
        for (int32_t i = 0; i < 4 * layer->counts[output]; i += 4) {
            ew_add_four(sums, tile + first, sources + i, weights + i);
        }
        ew_put_sums(&scaling, ew_bias_of(&factors, 0), bytes + first, EW_LANES);
    }
}

#endif

EW_KERNEL void ew_sparse_rows_s8(const struct ew_sparse_rows_s8 *layer, const int8_t *restrict input, int8_t *restrict output)
{
    int8_t bytes[EW_LANES * EW_TILE], tile[EW_MOST_INPUTS * EW_TILE];

    for (int32_t position = 0; position < layer->positions; position += EW_TILE) {
        const int32_t left = layer->positions - position, count = left < EW_TILE ? left : EW_TILE;
        const uint16_t *sources = layer->sources;
        const int8_t *weights = layer->weights;

        ew_fill_tile(input + position * layer->inputs, layer->inputs, count, tile);
        for (int32_t first = 0; first < layer->outputs; first += EW_LANES) {
            const int32_t rows = layer->outputs - first < EW_LANES ? layer->outputs - first : EW_LANES;

            for (int32_t row = 0; row < rows; row++) {
                const int32_t many = 4 * layer->counts[first + row];

                ew_sparse_row(layer, first + row, tile, sources, weights, count, bytes + row * EW_TILE);
                sources += many;
                weights += many;
            }
            ew_put_columns(bytes, rows, count, output + position * layer->outputs + first, layer->outputs);
        }
    }
}

#endif
