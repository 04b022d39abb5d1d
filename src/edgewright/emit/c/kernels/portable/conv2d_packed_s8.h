/* Two-dimensional convolution: int8 input and output, weights of a few bits. */
#ifndef EW_CONV2D_PACKED_S8_H
#define EW_CONV2D_PACKED_S8_H

#include "multiply_rows.h"
#include "two_columns.h"
#include "unpack_weights.h"

/* Weights: for each group the rows of its output channels as ew_multiply_rows takes them, packed; each block of four rows, and each row
 * left over, begins with a word. The bias holds -zero_point * sum(weights) of
 * its channel. */
struct ew_conv2d_packed_s8 {
    struct ew_window window;
    int32_t groups;
    int32_t direct; /* 1: a window of one pixel that sees every pixel once, in one group */
    int32_t simple; /* 1: every shift is negative, and the bounds are those of int8 */
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    int32_t bits, step; /* how weights are packed: struct ew_packing */
    const int8_t *values;
    const uint8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* `workspace`: 2 * kernel_height * kernel_width * input_channels / groups bytes unless `direct`, then twice that for weights, rounded up to
 * whole words of indices. */
EW_KERNEL void ew_conv2d_packed_s8(const struct ew_conv2d_packed_s8 *layer, const int8_t *input, int8_t *output, int8_t *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const struct ew_output rescaling = {layer->bias, layer->multiplier, layer->shift, layer->simple,
                                        {layer->output_zero_point, layer->output_min, layer->output_max}};
    const int32_t channels = window->input_channels / layer->groups;
    const int32_t length = window->kernel_height * window->kernel_width * channels;
    const int32_t rows = window->output_channels / layer->groups;
    const int32_t positions = window->output_height * window->output_width;
    const int8_t fill = (int8_t)layer->input_zero_point;
    const struct ew_packing packing = {layer->bits, layer->step, layer->values};
    int8_t *const unpacked = layer->direct ? workspace : workspace + 2 * length;
    struct ew_columns columns = {workspace, workspace + length, length, window->output_channels};
    struct ew_place first = {0, 0};

    for (int32_t position = 0; position < positions; position += 2) {
        const uint8_t *weights = layer->weights;
        const int both = position + 1 < positions;

        if (!both) {
            columns.step = 0;
            columns.second = columns.first;
        }
        for (int32_t group = 0; group < layer->groups; group++) {
            ew_take_columns(window, first, both, channels, fill, input + group * channels, layer->direct ? input + position * length : NULL,
                            workspace, &columns);
            for (int32_t row = 0, many; row < rows; row += many) {
                many = rows - row >= 4 ? 4 : 1;
                weights = ew_unpack_weights(&packing, weights, ew_packed_words(&packing, many * length), unpacked);
                ew_multiply_rows(&rescaling, unpacked, &columns, group * rows + row, group * rows + row + many,
                                 output + position * window->output_channels);
            }
        }
        first = ew_place_after(window, ew_place_after(window, first));
    }
}

#endif
