/* Depthwise two-dimensional convolution with Helium: int8 input, weights and output, sixteen output channels at a time. */
#ifndef EW_DEPTHWISE_CONV2D_S8_H
#define EW_DEPTHWISE_CONV2D_S8_H

#include "depthwise_rows.h"
#include "fill_plane.h"

/* Weights: for each block of sixteen output channels, the sixteen bytes of each tap in turn; zeros where channels are missing. `bias`,
 * `multiplier` and `shift`: for each block in the order 0 4 8 12 1 5 9 13 2 ...; the bias holds -zero_point * sum(weights) of its channel.
 * Output channel c * multiplier + j comes from input channel c. */
struct ew_depthwise_conv2d_s8 {
    struct ew_window window;
    int32_t rows, columns; /* of outputs that one filling of the plane serves */
    int32_t pairs;         /* 1: no weight is -128, so that two products fit 16 bits */
    int32_t rounding;
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* `plane`: sixteen bytes for each pixel that the window sees at rows x columns positions. */
EW_KERNEL void ew_depthwise_conv2d_s8(const struct ew_depthwise_conv2d_s8 *layer, const int8_t *input, int8_t *output,
                                      int8_t *restrict plane)
{
    const struct ew_window *window = &layer->window;
    const int32_t taps = window->kernel_height * window->kernel_width;
    const int32_t tall = (window->kernel_height - 1) * window->dilation_height + 1;
    const int32_t wide = (window->kernel_width - 1) * window->dilation_width + 1;
    const int32_t filters = window->output_channels / window->input_channels;
    const int small = layer->pairs && window->kernel_height == 3 && window->kernel_width == 3 && window->dilation_height * window->dilation_width == 1
                      && layer->output_min == -128 && layer->output_max == 127;
    struct ew_rescaling how = {layer->bias, layer->multiplier, layer->shift, layer->rounding, layer->output_zero_point, layer->output_min, layer->output_max};
    const int8_t *weights = layer->weights;

    for (int32_t channel = 0; channel < window->output_channels; channel += 16) {
        const struct ew_lanes lanes = ew_lanes_of(channel, window->output_channels, filters);

        for (int32_t y = 0; y < window->output_height; y += layer->rows) {
            for (int32_t x = 0; x < window->output_width; x += layer->columns) {
                const int32_t rows = y + layer->rows < window->output_height ? layer->rows : window->output_height - y;
                const int32_t columns = x + layer->columns < window->output_width ? layer->columns : window->output_width - x;
                const struct ew_tile tile = {y * window->stride_height - window->padding_top, x * window->stride_width - window->padding_left,
                                             (rows - 1) * window->stride_height + tall, (columns - 1) * window->stride_width + wide};
                const struct ew_depthwise_rows outputs = {.rows = rows,
                                                          .columns = columns,
                                                          .input_row = 16 * tile.width * window->stride_height,
                                                          .input_step = 16 * window->stride_width,
                                                          .output_row = window->output_width * window->output_channels,
                                                          .output_step = window->output_channels,
                                                          .pitch = 16 * tile.width,
                                                          .lanes = lanes.active,
                                                          .from = plane,
                                                          .output = output + (y * window->output_width + x) * window->output_channels + channel};

                ew_fill_plane(window, &tile, &lanes, (int8_t)layer->input_zero_point, input, plane);
                if (!small || !ew_depthwise_3x3(&how, &outputs, weights)) {
                    ew_depthwise_any(&how, window, &outputs, weights, layer->pairs);
                }
            }
        }
        weights += 16 * taps;
        how.bias += 16;
        how.multiplier += 16;
        how.shift += 16;
    }
}

#endif
