/* Depthwise two-dimensional convolution: int8 input, weights and output, one channel after the other. */
#ifndef EW_DEPTHWISE_CONV2D_S8_H
#define EW_DEPTHWISE_CONV2D_S8_H

#include <string.h>

#include "depthwise_any.h"
#include "fill_plane.h"

/* `plane`: one channel of the input rows of a strip, padded on all sides:
 * ((strip - 1) * stride_height + (kernel_height - 1) * dilation_height + 1)
 * * ((output_width - 1) * stride_width + (kernel_width - 1) * dilation_width + 1) bytes. */
EW_KERNEL void ew_depthwise_conv2d_s8(const struct ew_depthwise_layer *layer, const int8_t *input, int8_t *output,
                                      int8_t *restrict plane)
{
    const struct ew_window *window = &layer->window;
    const int32_t filters = window->output_channels / window->input_channels;
    const int32_t taps = window->kernel_height * window->kernel_width;

    for (int32_t first = 0; first < window->output_height; first += layer->strip) {
        struct ew_outputs outputs = ew_outputs_of(layer, first, output);
        const struct ew_plane shape = ew_plane_of(layer, first, outputs.rows);

        memset(plane, layer->input_zero_point, (size_t)(shape.height * shape.width));
        for (int32_t filter = 0; filter < window->output_channels; filter++) {
            const struct ew_channel channel = ew_channel_of(layer, filter);

            if (filter % filters == 0) {
                ew_fill_plane(window, &shape, input + filter / filters, plane);
            }
            ew_depthwise_any(window, &channel, layer->weights + filter * taps, plane, shape.width, &outputs);
            outputs.first++;
        }
    }
}

#endif
