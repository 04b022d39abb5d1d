/* Convolutions of every kind, and dense layers, in little code: int8 input, weights and output. */
#ifndef EW_CONV2D_S8_H
#define EW_CONV2D_S8_H

#include "dot_s8.h"
#include "gather_column.h"
#include "requantize_within.h"

/* Weights: output channel x kernel_height x kernel_width x input channel of its group. A depthwise convolution has as many groups as input
 * channels, a dense layer one window that sees one pixel. The bias holds -zero_point * sum(weights) of its channel. */
struct ew_conv2d_s8 {
    struct ew_window window;
    int32_t groups;
    int32_t direct; /* 1: a window of one pixel that sees every pixel once, in one group */
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* `workspace`: kernel_height * kernel_width * input_channels / groups bytes; unused where `direct`. */
EW_KERNEL void ew_conv2d_s8(const struct ew_conv2d_s8 *layer, const int8_t *input, int8_t *output, int8_t *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const struct ew_bounds bounds = {layer->output_zero_point, layer->output_min, layer->output_max};
    const int32_t channels = window->input_channels / layer->groups;
    const int32_t rows = window->output_channels / layer->groups;
    const int32_t length = window->kernel_height * window->kernel_width * channels;
    const int32_t positions = window->output_height * window->output_width;

    for (int32_t position = 0; position < positions; position++) {
        const int32_t top = position / window->output_width * window->stride_height - window->padding_top;
        const int32_t left = position % window->output_width * window->stride_width - window->padding_left;
        const int8_t *column = layer->direct ? input + position * length : workspace;
        const int8_t *weights = layer->weights;

        for (int32_t row = 0; row < window->output_channels; row++) {
            if (!layer->direct && row % rows == 0) {
                ew_gather_column(window, top, left, channels, (int8_t)layer->input_zero_point, input + row / rows * channels, workspace);
            }
            *output++ = ew_requantize_within(ew_dot_s8(weights, column, length, layer->bias[row]), layer->multiplier[row], layer->shift[row],
                                             &bounds);
            weights += length;
        }
    }
}

#endif
