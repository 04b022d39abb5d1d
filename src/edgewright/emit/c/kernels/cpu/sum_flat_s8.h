/* Sum or difference of two tensors of one shape: int8 inputs and output. */
#ifndef EW_SUM_FLAT_S8_H
#define EW_SUM_FLAT_S8_H

#include "rescale_sum.h"
#include "sums.h"

/* The operand of the larger scale is halved, which is exact: it contributes half_offset + half_unit * x. The other one is
 * rescaled: other_offset + other_unit * x times the multiplier. `doubled` is twice the multiplier, modulo 2**32; right = -1 - shift,
 * output_offset = 2 * zero_point + 1; the bounds are those of int8. */
struct ew_sum_flat_s8 {
    int32_t count;
    int32_t half_unit, half_offset;
    int32_t other_unit, other_offset, other_doubled, other_right;
    int32_t output_doubled, output_right, output_offset;
};

static inline int8_t ew_sum_flat(const struct ew_sum_flat_s8 *layer, int32_t half, int32_t other)
{
    const int32_t x = layer->other_offset + layer->other_unit * other;
    const int32_t scaled = ew_scale_sum(x, (int32_t)((uint32_t)layer->other_doubled >> 1));
    const int32_t rounded = (((scaled + (scaled >> 31)) >> layer->other_right) + 1) >> 1;

    return ew_rescale_sum(layer->half_offset + layer->half_unit * half + rounded, (int32_t)((uint32_t)layer->output_doubled >> 1),
                          layer->output_right, layer->output_offset);
}

#if defined(EW_AVX512)

static inline struct ew_scaling ew_scaling_by(int32_t doubled, int32_t right)
{
    return ew_scaling_from(_mm512_set1_epi32((int32_t)((uint32_t)doubled >> 1)), _mm512_set1_epi32(-1 - right), 1);
}

/* Sixteen sums. */
EW_INLINE __m512i ew_sum_sixteen(const struct ew_sum_flat_s8 *layer, const struct ew_scaling *inner, const struct ew_scaling *outer,
                                 const int8_t *half, const int8_t *other)
{
    const __m512i a = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)half));
    const __m512i b = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)other));
    const __m512i x = _mm512_add_epi32(_mm512_set1_epi32(layer->other_offset), _mm512_mullo_epi32(_mm512_set1_epi32(layer->other_unit), b));
    const __m512i y = _mm512_add_epi32(_mm512_set1_epi32(layer->half_offset), _mm512_mullo_epi32(_mm512_set1_epi32(layer->half_unit), a));

    return ew_scale_down(outer, _mm512_add_epi32(y, ew_scale_down(inner, x)));
}

/* Sixty-four at a time, then sixteen; returns how many. */
static inline int32_t ew_sum_sixteens(const struct ew_sum_flat_s8 *layer, const int8_t *half, const int8_t *other, int8_t *output)
{
    const struct ew_scaling inner = ew_scaling_by(layer->other_doubled, layer->other_right);
    struct ew_scaling outer = ew_scaling_by(layer->output_doubled, layer->output_right);
    int32_t i = 0;

    outer.low = _mm512_set1_epi8(-128);
    outer.high = _mm512_set1_epi8(127);
    outer.zero_point = _mm512_set1_epi16((short)((layer->output_offset - 1) / 2));
    for (; i + 4 * EW_LANES <= layer->count; i += 4 * EW_LANES) {
        __m512i parts[4];

        EW_UNROLL
        for (int part = 0; part < 4; part++) {
            parts[part] = ew_sum_sixteen(layer, &inner, &outer, half + i + EW_LANES * part, other + i + EW_LANES * part);
        }
        _mm512_storeu_si512(output + i, ew_pack_sums(&outer, parts[0], parts[1], parts[2], parts[3]));
    }
    for (; i + EW_LANES <= layer->count; i += EW_LANES) {
        const __m512i sums = ew_sum_sixteen(layer, &inner, &outer, half + i, other + i);

        _mm_storeu_si128((__m128i *)(void *)(output + i), _mm512_castsi512_si128(ew_pack_sums(&outer, sums, sums, sums, sums)));
    }
    return i;
}

#elif defined(EW_AVX2)

/* Eight sums. */
static inline __m256i ew_sum_eight(const struct ew_sum_flat_s8 *layer, const int8_t *half, const int8_t *other)
{
    const __m256i a = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)half));
    const __m256i b = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)other));
    const __m256i x = _mm256_add_epi32(_mm256_set1_epi32(layer->other_offset), _mm256_mullo_epi32(_mm256_set1_epi32(layer->other_unit), b));
    const __m256i y = _mm256_add_epi32(_mm256_set1_epi32(layer->half_offset), _mm256_mullo_epi32(_mm256_set1_epi32(layer->half_unit), a));
    const __m256i inner = ew_scale_down(x, _mm256_set1_epi32((int32_t)((uint32_t)layer->other_doubled >> 1)),
                                   _mm256_set1_epi32(-1 - layer->other_right));

    return ew_scale_down(_mm256_add_epi32(y, inner), _mm256_set1_epi32((int32_t)((uint32_t)layer->output_doubled >> 1)),
                         _mm256_set1_epi32(-1 - layer->output_right));
}

/* Sixteen at a time; returns how many. */
static inline int32_t ew_sum_sixteens(const struct ew_sum_flat_s8 *layer, const int8_t *half, const int8_t *other, int8_t *output)
{
    int32_t i = 0;

    for (; i + EW_LANES <= layer->count; i += EW_LANES) {
        const __m256i a = ew_sum_eight(layer, half + i, other + i), b = ew_sum_eight(layer, half + i + 8, other + i + 8);

        _mm_storeu_si128((__m128i *)(void *)(output + i), ew_pack_sums(a, b, (layer->output_offset - 1) / 2));
    }
    return i;
}

#else

static inline int32_t ew_sum_sixteens(const struct ew_sum_flat_s8 *layer, const int8_t *half, const int8_t *other, int8_t *output)
{
    (void)layer, (void)half, (void)other, (void)output;
    return 0;
}

#endif

/* `output` may be one of the inputs. */
EW_KERNEL void ew_sum_flat_s8(const struct ew_sum_flat_s8 *parameters, const int8_t *half, const int8_t *other, int8_t *output)
{
    const struct ew_sum_flat_s8 layer = *parameters;

#if defined(__GNUC__)
    /* GCC may know how small the memory of the only caller is, and not that the count fits it: it warns of loops that never run. */
    __asm__("" : "+r"(half), "+r"(other), "+r"(output));
#endif
    for (int32_t i = ew_sum_sixteens(&layer, half, other, output); i < layer.count; i++) {
        output[i] = ew_sum_flat(&layer, half[i], other[i]);
    }
}

#endif
