/* Two-dimensional convolution, and dense layers as such: int8 input, weights and output. */
#ifndef EW_CONV2D_S8_H
#define EW_CONV2D_S8_H

#include "find_positions.h"
#include "multiply_positions.h"

/* Weights: for each group the blocks of its output channels as ew_multiply_positions takes them; the other tables have a number
 * for each channel of a block: see struct ew_factors. */
struct ew_conv2d_s8 {
    struct ew_window window;
    int32_t groups;
    int32_t gathered; /* 0: the input is read where it lies, 4 * n channels in a group, windows of up to EW_MOST_TAPS */
    int32_t fill;     /* bytes of zero points that such a read wants where a window reaches beyond the picture; 0 where none does */
    int32_t input_zero_point, simple, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *excess;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* `workspace`: `fill` bytes; where gathered, eight times kernel_height * kernel_width * input_channels / groups, rounded up to whole fours, and
 * sixteen. */
EW_KERNEL void ew_conv2d_s8(const struct ew_conv2d_s8 *layer, const int8_t *restrict input, int8_t *restrict output,
                            int8_t *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const int32_t channels = window->input_channels / layer->groups, rows = window->output_channels / layer->groups;
    const int32_t length = window->kernel_height * window->kernel_width * channels;
    const int32_t lanes = (rows + EW_LANES - 1) / EW_LANES * EW_LANES, block = (length + 3) / 4 * 4 * EW_LANES;
    const int32_t all = window->output_height * window->output_width;
    const int8_t *first[EW_POSITIONS * EW_MOST_TAPS];
    struct ew_walk walk = {0, 0};

    if (layer->fill) {
        memset(workspace, layer->input_zero_point, (size_t)layer->fill);
    }
    for (int32_t position = 0; position < all; position += EW_POSITIONS) {
        const struct ew_corners corners = ew_walk_on(window, &walk, all - position < EW_POSITIONS ? all - position : EW_POSITIONS);

        for (int32_t group = 0; group < layer->groups; group++) {
            const int8_t *from = input + group * channels;
            struct ew_positions positions = {first, 1, channels / 4};
            const struct ew_matrix matrix = {layer->weights + group * (lanes / EW_LANES) * block,
                                             block,
                                             rows,
                                             {layer->bias + group * lanes, layer->excess + group * lanes, layer->multiplier + group * lanes,
                                              layer->shift + group * lanes, layer->simple, layer->output_zero_point, layer->output_min,
                                              layer->output_max}};
            const struct ew_target to = {output + position * window->output_channels + group * rows, window->output_channels, corners.count};

            if (layer->gathered) {
                ew_gather_positions(window, &corners, channels, (int8_t)layer->input_zero_point, from, workspace, first);
                positions.quads = (length + 3) / 4;
            } else if (!corners.outside && layer->groups == 1 && window->dilation_width == 1) {
                ew_find_rows(window, &corners, from, first);
                positions.segments = window->kernel_height;
                positions.quads = window->kernel_width * channels / 4;
            } else {
                ew_find_pixels(window, &corners, from, workspace, first);
                positions.segments = window->kernel_height * window->kernel_width;
            }
            ew_multiply_positions(&matrix, &positions, &to);
        }
    }
}

#endif
