/* Two-dimensional convolution with Helium: int8 input, weights and output. */
#ifndef EW_CONV2D_S8_H
#define EW_CONV2D_S8_H

#include "gather_column.h"
#include "multiply_columns.h"

/* Each group's output channels are taken sixteen at a time. Sixteen of them stand in the order 0 4 8 12 1 5 9 13 2 ...; fewer, at the end
 * of a group, in their own. Weights: pairs of them as ew_multiply_tile takes them, an odd last one with a row of zeros. `bias`,
 * `multiplier` and `shift` are in the same order, with as many entries for a group as the next multiple of four. The bias holds
 * -zero_point * sum(weights) of its channel. */
struct ew_conv2d_s8 {
    struct ew_window window;
    int32_t groups;
    int32_t contiguous; /* 1: what a window sees lies in one piece, unless it reaches beyond the picture */
    int32_t rounding;
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* `columns`: 4 * kernel_height * kernel_width * input_channels / groups bytes; unused where every window is contiguous and within the picture. */
EW_KERNEL void ew_conv2d_s8(const struct ew_conv2d_s8 *layer, const int8_t *restrict input, int8_t *restrict output, int8_t *restrict columns)
{
    const struct ew_window *window = &layer->window;
    const int32_t channels = window->input_channels / layer->groups;
    const int32_t length = window->kernel_height * window->kernel_width * channels;
    const int32_t rows = window->output_channels / layer->groups;
    const int32_t positions = window->output_height * window->output_width;
    const int32_t bottom = window->input_height - (window->kernel_height - 1) * window->dilation_height;
    const int32_t right = window->input_width - (window->kernel_width - 1) * window->dilation_width;
    int32_t x = 0, y = 0;

    for (int32_t position = 0; position < positions; position += 4) {
        struct ew_rescaling rescaling = {layer->bias, layer->multiplier, layer->shift, layer->rounding, layer->output_zero_point,
                                         layer->output_min, layer->output_max};
        struct ew_columns four = {.length = length, .count = positions - position < 4 ? positions - position : 4, .step = window->output_channels};
        const int8_t *weights = layer->weights;
        int32_t tops[4], lefts[4];

        for (int32_t c = 0; c < four.count; c++) {
            tops[c] = y * window->stride_height - window->padding_top;
            lefts[c] = x * window->stride_width - window->padding_left;
            x++;
            if (x == window->output_width) {
                x = 0;
                y++;
            }
        }
        four.output = output + position * window->output_channels;
        for (int32_t group = 0; group < layer->groups; group++) {
            const int8_t *first = input + group * channels;

            for (int32_t c = 0; c < 4; c++) {
                const int32_t top = tops[c];
                const int32_t left = lefts[c];

                if (c >= four.count) {
                    four.from[c] = four.from[c - 1];
                } else if (layer->contiguous && top >= 0 && left >= 0 && top < bottom && left < right) {
                    four.from[c] = first + (top * window->input_width + left) * window->input_channels;
                } else {
                    four.from[c] = columns + c * length;
                    ew_gather_column(window, top, left, channels, (int8_t)layer->input_zero_point, first, columns + c * length);
                }
            }
            weights = ew_multiply_columns(&rescaling, weights, &four, rows);
            four.output += rows;
        }
    }
}

#endif
