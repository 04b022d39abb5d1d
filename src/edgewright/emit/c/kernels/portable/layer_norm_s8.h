/* Layer normalization over the last axis: int8 input and output, in exact integers. */
#ifndef EW_LAYER_NORM_S8_H
#define EW_LAYER_NORM_S8_H

#include "kernel.h"
#include "requantize_within.h"
#include "square_root.h"

/* With N channels, the variance of a row is spread / N**2 in units of the squared input scale; `epsilon` is in units of the spread.
 * Normalized inputs have 16 bits behind the point, and so has the bias. */
struct ew_layer_norm_s8 {
    int32_t rows, channels;
    int64_t epsilon;
    int32_t output_zero_point;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* `output` may be `input`. */
EW_KERNEL void ew_layer_norm_s8(const struct ew_layer_norm_s8 *layer, const int8_t *input, int8_t *output)
{
    const struct ew_bounds bounds = {layer->output_zero_point, -128, 127};
    const int32_t channels = layer->channels;

    for (int32_t row = 0; row < layer->rows; row++) {
        int32_t total = 0, squares = 0;

        for (int32_t i = 0; i < channels; i++) {
            total += input[i];
            squares += input[i] * input[i];
        }
        uint64_t spread = (uint64_t)((int64_t)squares * channels - (int64_t)total * total + layer->epsilon);
        int32_t shift = 61 - 16;

        /* A multiple by a power of 4 has a square root of 31 bits. */
        while (spread < (uint64_t)1 << 60) {
            spread <<= 2;
            shift--;
        }
        const int64_t inverse = (int64_t)(((uint64_t)1 << 61) / ew_square_root(spread));
        const int64_t half = (int64_t)1 << (shift - 1);

        for (int32_t i = 0; i < channels; i++) {
            const int32_t normalized = (int32_t)(((int64_t)(channels * input[i] - total) * inverse + half) >> shift);

            output[i] = ew_requantize_within(normalized * layer->weights[i] + layer->bias[i], layer->multiplier[i], layer->shift[i], &bounds);
        }
        input += channels;
        output += channels;
    }
}

#endif
