/* Depthwise two-dimensional convolution: int8 input, weights and output, one channel after the other. */
#ifndef EW_DEPTHWISE_CONV2D_S8_H
#define EW_DEPTHWISE_CONV2D_S8_H

#include "clamp.h"
#include "kernel.h"
#include "multiply_add.h"
#include "requantize.h"
#include "window.h"

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
    const int32_t taps = window->kernel_height * window->kernel_width;

    for (int32_t first = 0; first < window->output_height; first += layer->strip) {
        const int32_t left = window->output_height - first;
        const int32_t rows = left < layer->strip ? left : layer->strip;
        const int32_t height = (rows - 1) * window->stride_height + (window->kernel_height - 1) * window->dilation_height + 1;
        const int32_t top = first * window->stride_height - window->padding_top;

        for (int32_t channel = 0; channel < window->input_channels; channel++) {
            int8_t *to = plane;

            for (int32_t y = top; y < top + height; y++) {
                for (int32_t x = -window->padding_left; x < width - window->padding_left; x++) {
                    const int inside = y >= 0 && y < window->input_height && x >= 0 && x < window->input_width;

                    *to++ = inside ? input[channel + y * layer->input_row + x * layer->input_column] : (int8_t)layer->input_zero_point;
                }
            }
            for (int32_t filter = channel * filters; filter < (channel + 1) * filters; filter++) {
                const int8_t *w = layer->weights + filter * taps;
                const int32_t multiplier = layer->multiplier[filter];
                const int32_t shift = layer->shift[filter];

                for (int32_t y = 0; y < rows; y++) {
                    int8_t *out = output + filter + (first + y) * layer->output_row;

                    for (int32_t x = 0; x < window->output_width; x++) {
                        const int8_t *from = plane + y * window->stride_height * width + x * window->stride_width;
                        int32_t sum = layer->bias[filter];

                        for (int32_t ky = 0; ky < window->kernel_height; ky++) {
                            for (int32_t kx = 0; kx < window->kernel_width; kx++) {
                                sum = ew_multiply_add(sum, w[ky * window->kernel_width + kx], from[kx * window->dilation_width]);
                            }
                            from += window->dilation_height * width;
                        }
                        out[x * layer->output_column] = ew_clamp(ew_requantize(sum, multiplier, shift), layer->output_zero_point,
                                                                 layer->output_min, layer->output_max);
                    }
                }
            }
        }
    }
}

#endif
