/* Depthwise two-dimensional convolution: int8 input, weights and output, one channel after the other. */
#ifndef EW_DEPTHWISE_CONV2D_S8_H
#define EW_DEPTHWISE_CONV2D_S8_H

#include <string.h>

#include "depthwise_any.h"
#include "fill_plane.h"

/* A layer may be laid out with height and width exchanged: positions are found by the strides in elements alone.
 * Weights: kernel_height * kernel_width bytes for each output channel; output channel c * multiplier + j comes from input
 * channel c. The bias holds -zero_point * sum(weights) of its channel. */
struct ew_depthwise_conv2d_s8 {
    struct ew_window window;
    int32_t input_row, input_column, output_row, output_column;
    int32_t strip; /* output rows that one filling of the plane serves */
    int32_t simple; /* 1: every shift is negative, and the bounds are those of int8 */
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* `plane`: one channel of the input rows of a strip, padded on all sides:
 * ((strip - 1) * stride_height + (kernel_height - 1) * dilation_height + 1)
 * * ((output_width - 1) * stride_width + (kernel_width - 1) * dilation_width + 1) bytes. */
EW_KERNEL void ew_depthwise_conv2d_s8(const struct ew_depthwise_conv2d_s8 *layer, const int8_t *restrict input, int8_t *restrict output,
                                      int8_t *restrict plane)
{
    const struct ew_window *window = &layer->window;
    const int32_t filters = window->output_channels / window->input_channels;
    const int32_t width = (window->output_width - 1) * window->stride_width + (window->kernel_width - 1) * window->dilation_width + 1;
    const int32_t span = (window->kernel_height - 1) * window->dilation_height + 1;
    const int32_t taps = window->kernel_height * window->kernel_width;
    const int small = window->kernel_height == 3 && window->kernel_width == 3
                      && window->stride_height * window->stride_width * window->dilation_height * window->dilation_width == 1;
    struct ew_channel channel = {.offset = 2 * layer->output_zero_point + 1, .zero_point = layer->output_zero_point, .low = layer->output_min,
                                 .high = layer->output_max};
    struct ew_outputs outputs = {.count = window->output_width, .row_step = layer->output_row, .step = layer->output_column};

    for (int32_t first = 0; first < window->output_height; first += layer->strip) {
        const int32_t left = window->output_height - first;
        const int32_t strip = left < layer->strip ? left : layer->strip;
        const struct ew_plane shape = {layer->input_row, layer->input_column, first * window->stride_height - window->padding_top,
                                       (strip - 1) * window->stride_height + span, width};

        outputs.rows = strip;
        memset(plane, layer->input_zero_point, (size_t)(shape.height * width));
        for (int32_t filter = 0; filter < window->output_channels; filter++) {
            const int8_t *weights = layer->weights + filter * taps;

            if (filter % filters == 0) {
                ew_fill_plane(window, &shape, input + filter / filters, plane);
            }
            outputs.first = output + first * layer->output_row + filter;
            channel.bias = layer->bias[filter];
            channel.multiplier = layer->multiplier[filter];
            channel.shift = layer->shift[filter];
            channel.right = -1 - channel.shift;
            channel.simple = layer->simple && channel.shift < -1;
            if (small) {
                ew_depthwise_3x3(&channel, weights, plane, width, &outputs);
            } else {
                ew_depthwise_any(window, &channel, weights, plane, width, &outputs);
            }
        }
    }
}

#endif
