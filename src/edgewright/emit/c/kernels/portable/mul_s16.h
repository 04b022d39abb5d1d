/* Product of two tensors, broadcast against each other: int16 inputs and output. */
#ifndef EW_MUL_S16_H
#define EW_MUL_S16_H

#include "clamp_16.h"
#include "kernel.h"
#include "requantize.h"

/* Steps are in elements, 0 where an operand is broadcast; the output is dense. */
struct ew_mul_s16 {
    int32_t sizes[4], first_step[4], second_step[4];
    int32_t output_multiplier, output_shift, output_min, output_max;
};

/* `output` may be an input that is not broadcast. */
EW_KERNEL void ew_mul_s16(const struct ew_mul_s16 *layer, const int16_t *first, const int16_t *second, int16_t *output)
{
    const int32_t *sizes = layer->sizes;

    for (int32_t outer = 0; outer < sizes[0] * sizes[1] * sizes[2]; outer++) {
        const int32_t i = outer / (sizes[1] * sizes[2]);
        const int32_t j = outer / sizes[2] % sizes[1];
        const int32_t k = outer % sizes[2];
        const int16_t *a = first + i * layer->first_step[0] + j * layer->first_step[1] + k * layer->first_step[2];
        const int16_t *b = second + i * layer->second_step[0] + j * layer->second_step[1] + k * layer->second_step[2];

        for (int32_t n = 0; n < sizes[3]; n++) {
            const int32_t product = *a * *b;

            *output++ = ew_clamp_16(ew_requantize(product, layer->output_multiplier, layer->output_shift), layer->output_min, layer->output_max);
            a += layer->first_step[3];
            b += layer->second_step[3];
        }
    }
}

#endif
