/* Transposed two-dimensional convolution: int8 input, weights and output. */
#ifndef EW_TRANSPOSE_CONV2D_S8_H
#define EW_TRANSPOSE_CONV2D_S8_H

#include "clamp.h"
#include "kernel.h"
#include "multiply_add.h"
#include "requantize.h"
#include "window.h"

/* Weights: output channel x kernel_height x kernel_width x input channel. */
struct ew_transpose_conv2d_s8 {
    struct ew_window window;
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

EW_KERNEL void ew_transpose_conv2d_s8(const struct ew_transpose_conv2d_s8 *layer, const int8_t *restrict input, int8_t *restrict output)
{
    const struct ew_window *window = &layer->window;
    const int32_t channels = window->input_channels;
    const int32_t taps = window->kernel_height * window->kernel_width;

    for (int32_t y = 0; y < window->output_height; y++) {
        /* Output row y gets input row i through tap ky where i * stride + ky = y + padding: every stride-th tap, each a row higher. */
        const int32_t first_row = (y + window->padding_top) / window->stride_height;
        const int32_t first_ky = (y + window->padding_top) % window->stride_height;

        for (int32_t x = 0; x < window->output_width; x++) {
            const int32_t first_column = (x + window->padding_left) / window->stride_width;
            const int32_t first_kx = (x + window->padding_left) % window->stride_width;

            for (int32_t channel = 0; channel < window->output_channels; channel++) {
                int32_t sum = layer->bias[channel];
                int32_t row = first_row;

                for (int32_t ky = first_ky; ky < window->kernel_height; ky += window->stride_height, row--) {
                    int32_t column = first_column;

                    for (int32_t kx = first_kx; kx < window->kernel_width; kx += window->stride_width, column--) {
                        if (row >= 0 && row < window->input_height && column >= 0 && column < window->input_width) {
                            const int8_t *from = input + (row * window->input_width + column) * channels;
                            const int8_t *w = layer->weights + (channel * taps + ky * window->kernel_width + kx) * channels;

                            for (int32_t k = 0; k < channels; k++) {
                                sum = ew_multiply_add(sum, w[k], from[k] - layer->input_zero_point);
                            }
                        }
                    }
                }
                *output++ = ew_clamp(ew_requantize(sum, layer->multiplier[channel], layer->shift[channel]), layer->output_zero_point,
                                     layer->output_min, layer->output_max);
            }
        }
    }
}

#endif
