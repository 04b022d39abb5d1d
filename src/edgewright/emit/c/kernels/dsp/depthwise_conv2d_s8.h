/* Depthwise two-dimensional convolution with the DSP instructions: int8 input, weights and output, one channel after the other. */
#ifndef EW_DEPTHWISE_CONV2D_S8_H
#define EW_DEPTHWISE_CONV2D_S8_H

#include "depthwise_any.h"
#include "fill_plane.h"

/* A layer may be laid out with height and width exchanged: positions are found by the strides in elements alone.
 * Weights: kernel_height * kernel_width bytes for each output channel; output channel c * multiplier + j comes from input
 * channel c. The bias holds -zero_point * sum(weights) of its channel. `multiplier` holds twice the multiplier, modulo 2**32. */
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

/* `workspace`, aligned to four: one channel of the input rows of a strip as halves, padded on all sides, its rows rounded up to an even
 * number; four bytes; then the weights of a channel as halves, their rows rounded up likewise. */
EW_KERNEL void ew_depthwise_conv2d_s8(const struct ew_depthwise_conv2d_s8 *layer, const int8_t *restrict input, int8_t *restrict output,
                                      void *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const int32_t filters = window->output_channels / window->input_channels;
    const int32_t width = ((window->output_width - 1) * window->stride_width + (window->kernel_width - 1) * window->dilation_width + 2) & ~1;
    const int32_t span = (window->kernel_height - 1) * window->dilation_height + 1;
    const int32_t taps = window->kernel_height * window->kernel_width;
    const int small = window->kernel_height == 3 && window->kernel_width == 3 && window->stride_height == window->stride_width
                      && window->stride_width <= 2 && window->dilation_height * window->dilation_width == 1;
    int16_t *plane = workspace;
    int16_t *halves = plane + ((layer->strip - 1) * window->stride_height + span) * width + 2;
    struct ew_channel channel = {.offset = 2 * layer->output_zero_point + 1, .simple = layer->simple, .zero_point = layer->output_zero_point,
                                 .low = layer->output_min, .high = layer->output_max};
    struct ew_outputs outputs = {.count = window->output_width, .row_step = layer->output_row, .step = layer->output_column};

    halves[-2] = 0;
    halves[-1] = 0;
    for (int32_t first = 0; first < window->output_height; first += layer->strip) {
        const int32_t left = window->output_height - first;
        const int32_t strip = left < layer->strip ? left : layer->strip;
        const struct ew_plane shape = {layer->input_row, layer->input_column, first * window->stride_height - window->padding_top,
                                       (strip - 1) * window->stride_height + span, width};

        outputs.rows = strip;
        ew_clear_plane(&shape, layer->input_zero_point, plane);
        for (int32_t filter = 0; filter < window->output_channels; filter++) {
            const int8_t *weights = layer->weights + filter * taps;

            if (filter % filters == 0) {
                ew_fill_plane(window, &shape, input + filter / filters, plane);
            }
            outputs.first = output + first * layer->output_row + filter;
            channel.bias = layer->bias[filter];
            channel.factor.doubled = layer->multiplier[filter];
            channel.shift = layer->shift[filter];
            channel.factor.right = -1 - channel.shift;
            if (small) {
                ew_depthwise_3x3(&channel, weights, plane, width, window->stride_width, &outputs);
            } else {
                int16_t *to = halves;

                for (int32_t ky = 0; ky < window->kernel_height; ky++) {
                    for (int32_t kx = 0; kx < window->kernel_width; kx++) {
                        *to++ = *weights++;
                    }
                    if (window->kernel_width % 2 != 0) {
                        *to++ = 0;
                    }
                }
                ew_depthwise_any(window, &channel, halves, plane, width, &outputs);
            }
        }
    }
}

#endif
