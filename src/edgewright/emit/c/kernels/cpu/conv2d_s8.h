/* Two-dimensional convolution, and dense layers as such: int8 input, weights and output. */
#ifndef EW_CONV2D_S8_H
#define EW_CONV2D_S8_H

#include "gather_column.h"
#include "multiply_positions.h"
#include "window.h"

/* Weights: for each group the blocks of its output channels as ew_multiply_positions takes them; bias, multiplier and shift have a number for
 * each channel of a block. The bias holds -(zero_point + 128) * sum(weights) of its channel. */
struct ew_conv2d_s8 {
    struct ew_window window;
    int32_t groups;
    int32_t whole; /* 1: a row of the window, where it lies within the picture, is one run of whole fours */
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* The output positions from `position` on, up to eight: where their windows begin, and whether all of those lie within the picture. */
struct ew_windows {
    int32_t count, inside;
    int32_t y[EW_POSITIONS], x[EW_POSITIONS];
};

static inline struct ew_windows ew_windows_of(const struct ew_window *window, int32_t position)
{
    const int32_t left = window->output_height * window->output_width - position;
    const int32_t bottom = window->input_height - (window->kernel_height - 1) * window->dilation_height;
    const int32_t right = window->input_width - (window->kernel_width - 1) * window->dilation_width;
    struct ew_windows found = {left < EW_POSITIONS ? left : EW_POSITIONS, 1, {0}, {0}};
    int32_t y = position / window->output_width, x = position % window->output_width;

    for (int32_t p = 0; p < found.count; p++) {
        const int32_t top = y * window->stride_height - window->padding_top, start = x * window->stride_width - window->padding_left;

        found.y[p] = y;
        found.x[p] = x;
        found.inside &= top >= 0 && top < bottom && start >= 0 && start < right;
        x++;
        if (x == window->output_width) {
            x = 0;
            y++;
        }
    }
    return found;
}

/* What the windows see of a group whose first channel is `input`: where it lies, or gathered in `columns`, rounded up to whole fours. */
static inline struct ew_positions ew_positions_of(const struct ew_conv2d_s8 *layer, const struct ew_windows *windows, const int8_t *input,
                                                  int8_t *columns)
{
    const struct ew_window *window = &layer->window;
    const int32_t channels = window->input_channels / layer->groups;
    const int32_t length = window->kernel_height * window->kernel_width * channels, padded = (length + 3) / 4 * 4;
    struct ew_positions positions = {{NULL}, 1, padded / 4, 0};

    if (layer->whole && windows->inside) {
        positions.segments = window->kernel_height;
        positions.quads = window->kernel_width * channels / 4;
        positions.pitch = window->dilation_height * window->input_width * window->input_channels;
        for (int32_t p = 0; p < windows->count; p++) {
            const int32_t row = windows->y[p] * window->stride_height - window->padding_top;
            const int32_t column = windows->x[p] * window->stride_width - window->padding_left;

            positions.first[p] = input + (row * window->input_width + column) * window->input_channels;
        }
    } else {
        for (int32_t p = 0; p < windows->count; p++) {
            ew_gather_column(window, windows->y[p], windows->x[p], channels, (int8_t)layer->input_zero_point, input, columns + p * padded);
            memset(columns + p * padded + length, 0, (size_t)(padded - length));
            positions.first[p] = columns + p * padded;
        }
    }
    for (int32_t p = windows->count; p < EW_POSITIONS; p++) {
        positions.first[p] = positions.first[0];
    }
    return positions;
}

/* `columns`: eight times kernel_height * kernel_width * input_channels / groups bytes, rounded up to whole fours; unused where `whole` and no
 * window reaches beyond the picture. */
EW_KERNEL void ew_conv2d_s8(const struct ew_conv2d_s8 *layer, const int8_t *restrict input, int8_t *restrict output, int8_t *restrict columns)
{
    const struct ew_window *window = &layer->window;
    const int32_t channels = window->input_channels / layer->groups, rows = window->output_channels / layer->groups;
    const int32_t length = window->kernel_height * window->kernel_width * channels;
    const int32_t lanes = (rows + EW_LANES - 1) / EW_LANES * EW_LANES, block = (length + 3) / 4 * 4 * EW_LANES;

    for (int32_t position = 0; position < window->output_height * window->output_width; position += EW_POSITIONS) {
        const struct ew_windows windows = ew_windows_of(window, position);

        for (int32_t group = 0; group < layer->groups; group++) {
            const struct ew_positions positions = ew_positions_of(layer, &windows, input + group * channels, columns);
            const struct ew_matrix matrix = {layer->weights + group * (lanes / EW_LANES) * block,
                                             block,
                                             rows,
                                             {layer->bias + group * lanes, layer->multiplier + group * lanes, layer->shift + group * lanes,
                                              layer->output_zero_point, layer->output_min, layer->output_max}};
            const struct ew_target to = {output + position * window->output_channels + group * rows, window->output_channels, windows.count};

            ew_multiply_positions(&matrix, &positions, &to);
        }
    }
}

#endif
