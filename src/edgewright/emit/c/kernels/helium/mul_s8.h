/* Product of two tensors, broadcast against each other, with Helium: int8 inputs and output. */
#ifndef EW_MUL_S8_H
#define EW_MUL_S8_H

#include "rescale_all.h"

/* Steps are in elements, 0 where an operand is broadcast (1 or 0 along the last axis); the output is dense. */
struct ew_mul_s8 {
    int32_t sizes[4], first_step[4], second_step[4];
    int32_t first_zero_point, second_zero_point;
    int32_t output_zero_point, output_multiplier, output_shift, output_min, output_max;
};

static inline int16x8_t ew_multiply_8(int16x8_t a, int16x8_t b, struct ew_factor factor)
{
    const int32x4_t low = ew_rescale_down(vshlq_r_s32(vmullbq_int_s16(a, b), factor.left), factor);

    return ew_narrow_8(low, ew_rescale_down(vshlq_r_s32(vmulltq_int_s16(a, b), factor.left), factor));
}

/* `output` may be an input that is not broadcast. */
EW_KERNEL void ew_mul_s8(const struct ew_mul_s8 *layer, const int8_t *first, const int8_t *second, int8_t *output)
{
    const int32_t *sizes = layer->sizes;
    const int32_t first_step = layer->first_step[3], second_step = layer->second_step[3];
    const int16_t first_zero = (int16_t)layer->first_zero_point, second_zero = (int16_t)layer->second_zero_point;
    const struct ew_factor factor = ew_factor_of(layer->output_multiplier, layer->output_shift, layer->output_min < layer->output_zero_point);

    for (int32_t outer = 0; outer < sizes[0] * sizes[1] * sizes[2]; outer++) {
        const int32_t i = outer / (sizes[1] * sizes[2]);
        const int32_t j = outer / sizes[2] % sizes[1];
        const int32_t k = outer % sizes[2];
        const int8_t *x = first + i * layer->first_step[0] + j * layer->first_step[1] + k * layer->first_step[2];
        const int8_t *y = second + i * layer->second_step[0] + j * layer->second_step[1] + k * layer->second_step[2];

        for (int32_t count = sizes[3]; count > 0; count -= 16) {
            const mve_pred16_t lanes = vctp8q((uint32_t)count);
            const int8x16_t a = first_step ? vldrbq_z_s8(x, lanes) : vdupq_n_s8(*x);
            const int8x16_t b = second_step ? vldrbq_z_s8(y, lanes) : vdupq_n_s8(*y);
            const int16x8_t even = ew_multiply_8(vsubq_n_s16(vmovlbq_s8(a), first_zero), vsubq_n_s16(vmovlbq_s8(b), second_zero), factor);
            const int16x8_t odd = ew_multiply_8(vsubq_n_s16(vmovltq_s8(a), first_zero), vsubq_n_s16(vmovltq_s8(b), second_zero), factor);

            vstrbq_p_s8(output, ew_bound(ew_narrow_16(even, odd, layer->output_zero_point), layer->output_min, layer->output_max), lanes);
            x += 16 * first_step;
            y += 16 * second_step;
            output += count < 16 ? count : 16;
        }
    }
}

#endif
