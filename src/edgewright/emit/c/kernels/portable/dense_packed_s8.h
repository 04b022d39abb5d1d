/* Dense layer on one vector: int8 input and output, weights of a few bits. */
#ifndef EW_DENSE_PACKED_S8_H
#define EW_DENSE_PACKED_S8_H

#include "dot_s8.h"
#include "requantize_within.h"
#include "unpack_weights.h"

/* Weights: one row of `inputs` for each output, packed; each row begins with a word. The bias holds -zero_point * sum(weights) of its row. */
struct ew_dense_packed_s8 {
    int32_t inputs, outputs;
    int32_t output_zero_point, output_min, output_max;
    int32_t bits, step; /* how weights are packed: struct ew_packing */
    const int8_t *values;
    const uint8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* Weights that are unpacked at once: a whole number of words, whatever the bits. */
#define EW_DENSE_UNPACKED 128

EW_KERNEL void ew_dense_packed_s8(const struct ew_dense_packed_s8 *layer, const int8_t *restrict input, int8_t *restrict output)
{
    const struct ew_bounds bounds = {layer->output_zero_point, layer->output_min, layer->output_max};
    const struct ew_packing packing = {layer->bits, layer->step, layer->values};
    const uint8_t *weights = layer->weights;
    int8_t unpacked[EW_DENSE_UNPACKED];

    for (int32_t row = 0; row < layer->outputs; row++) {
        int32_t sum = layer->bias[row];

        for (int32_t k = 0, many; k < layer->inputs; k += many) {
            many = layer->inputs - k < EW_DENSE_UNPACKED ? layer->inputs - k : EW_DENSE_UNPACKED;
            weights = ew_unpack_weights(&packing, weights, ew_packed_words(&packing, many), unpacked);
            sum = ew_dot_s8(unpacked, input + k, many, sum);
        }
        output[row] = ew_requantize_within(sum, layer->multiplier[row], layer->shift[row], &bounds);
    }
}

#endif
