/* Dense layer on one vector: int8 input and output, weights that are mostly zeros. */
#ifndef EW_DENSE_SPARSE_S8_H
#define EW_DENSE_SPARSE_S8_H

#include "kernel.h"
#include "multiply_add.h"
#include "requantize_within.h"

/* Weights: for each of the `counts` entries of a row two bytes, how many inputs to pass over since the last one, and the weight of the next.
 * The bias holds -zero_point * sum(weights) of its row. */
struct ew_dense_sparse_s8 {
    int32_t inputs, outputs;
    int32_t output_zero_point, output_min, output_max;
    const uint16_t *counts;
    const uint8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

EW_KERNEL void ew_dense_sparse_s8(const struct ew_dense_sparse_s8 *layer, const int8_t *restrict input, int8_t *restrict output)
{
    const struct ew_bounds bounds = {layer->output_zero_point, layer->output_min, layer->output_max};
    const uint8_t *entry = layer->weights;

    for (int32_t row = 0; row < layer->outputs; row++) {
        const uint8_t *const end = entry + 2 * layer->counts[row];
        const int8_t *x = input;
        int32_t sum = layer->bias[row];

        while (entry != end) {
            x += entry[0];
            sum = ew_multiply_add(sum, (int8_t)entry[1], *x++);
            entry += 2;
        }
        output[row] = ew_requantize_within(sum, layer->multiplier[row], layer->shift[row], &bounds);
    }
}

#endif
