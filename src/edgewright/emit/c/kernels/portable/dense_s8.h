/* Dense layer on one vector: int8 input, weights and output. */
#ifndef EW_DENSE_S8_H
#define EW_DENSE_S8_H

#include "kernel.h"
#include "multiply_add.h"
#include "requantize_within.h"
#include "rescale_sum.h"

/* Weights: one row of `inputs` bytes for each output. The bias holds -zero_point * sum(weights) of its row. */
struct ew_dense_s8 {
    int32_t inputs, outputs;
    int32_t simple; /* 1: every shift is negative, and the bounds are those of int8 */
    int32_t output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

EW_KERNEL void ew_dense_s8(const struct ew_dense_s8 *layer, const int8_t *restrict input, int8_t *restrict output)
{
    const struct ew_bounds bounds = {layer->output_zero_point, layer->output_min, layer->output_max};
    const int32_t length = layer->inputs;
    const int8_t *w = layer->weights;
    int32_t row = 0;

    while (row < layer->outputs) {
        /* Four rows at a time; near the end, one. */
        const int32_t many = layer->outputs - row >= 4 ? 4 : 1;
        int32_t sums[4] = {0, 0, 0, 0};

        for (int32_t i = 0; i < many; i++) {
            sums[i] = layer->bias[row + i];
        }
        if (many == 4) {
            for (int32_t k = 0; k < length; k++) {
                sums[0] = ew_multiply_add(sums[0], w[k], input[k]);
                sums[1] = ew_multiply_add(sums[1], w[length + k], input[k]);
                sums[2] = ew_multiply_add(sums[2], w[2 * length + k], input[k]);
                sums[3] = ew_multiply_add(sums[3], w[3 * length + k], input[k]);
            }
        } else {
            for (int32_t k = 0; k < length; k++) {
                sums[0] = ew_multiply_add(sums[0], w[k], input[k]);
            }
        }
        for (int32_t i = 0; i < many; i++) {
            const int32_t multiplier = layer->multiplier[row + i], shift = layer->shift[row + i];

            if (layer->simple && shift < -1) {
                output[row + i] = ew_rescale_sum(sums[i], multiplier, -1 - shift, 2 * bounds.zero_point + 1);
            } else {
                output[row + i] = ew_requantize_within(sums[i], multiplier, shift, &bounds);
            }
        }
        w += many * length;
        row += many;
    }
}

#endif
