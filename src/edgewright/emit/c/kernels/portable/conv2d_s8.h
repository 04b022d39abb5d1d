/* Two-dimensional convolution: int8 input, weights and output. */
#ifndef EW_CONV2D_S8_H
#define EW_CONV2D_S8_H

#include "multiply_rows.h"
#include "two_columns.h"

/* Weights: for each group the rows of its output channels as ew_multiply_rows takes them. The bias holds -zero_point * sum(weights) of
 * its channel. */
struct ew_conv2d_s8 {
    struct ew_window window;
    int32_t groups;
    int32_t direct; /* 1: a window of one pixel that sees every pixel once, in one group */
    int32_t simple; /* 1: every shift is negative, and the bounds are those of int8 */
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* `workspace`: 2 * kernel_height * kernel_width * input_channels / groups bytes; unused where `direct`. */
EW_KERNEL void ew_conv2d_s8(const struct ew_conv2d_s8 *layer, const int8_t *input, int8_t *output, int8_t *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const struct ew_output rescaling = {layer->bias, layer->multiplier, layer->shift, layer->simple,
                                        {layer->output_zero_point, layer->output_min, layer->output_max}};
    const int32_t channels = window->input_channels / layer->groups;
    const int32_t length = window->kernel_height * window->kernel_width * channels;
    const int32_t rows = window->output_channels / layer->groups;
    const int32_t positions = window->output_height * window->output_width;
    const int8_t fill = (int8_t)layer->input_zero_point;
    struct ew_columns columns = {workspace, workspace + length, length, window->output_channels};
    struct ew_place first = {0, 0};

    for (int32_t position = 0; position < positions; position += 2) {
        const int8_t *weights = layer->weights;
        const int both = position + 1 < positions;

        if (!both) {
            columns.step = 0;
            columns.second = columns.first;
        }
        for (int32_t group = 0; group < layer->groups; group++) {
            ew_take_columns(window, first, both, channels, fill, input + group * channels, layer->direct ? input + position * length : NULL,
                            workspace, &columns);
            weights = ew_multiply_rows(&rescaling, weights, &columns, group * rows, (group + 1) * rows, output + position * window->output_channels);
        }
        first = ew_place_after(window, ew_place_after(window, first));
    }
}

#endif
