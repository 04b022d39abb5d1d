/* Sum or difference of two tensors of one shape: int8 inputs and output. */
#ifndef EW_SUM_FLAT_S8_H
#define EW_SUM_FLAT_S8_H

#include "kernel.h"
#include "rescale_sum.h"

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

/* `output` may be one of the inputs. */
EW_KERNEL void ew_sum_flat_s8(const struct ew_sum_flat_s8 *parameters, const int8_t *half, const int8_t *other, int8_t *output)
{
    const struct ew_sum_flat_s8 layer = *parameters;
    int32_t left = layer.count;

    for (; left >= 4; left -= 4) {
        const int8_t a = ew_sum_flat(&layer, half[0], other[0]);
        const int8_t b = ew_sum_flat(&layer, half[1], other[1]);
        const int8_t c = ew_sum_flat(&layer, half[2], other[2]);
        const int8_t d = ew_sum_flat(&layer, half[3], other[3]);

        output[0] = a;
        output[1] = b;
        output[2] = c;
        output[3] = d;
        half += 4;
        other += 4;
        output += 4;
    }
    for (; left > 0; left--) {
        *output++ = ew_sum_flat(&layer, *half++, *other++);
    }
}

#endif
