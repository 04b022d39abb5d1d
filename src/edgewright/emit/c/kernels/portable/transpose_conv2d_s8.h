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

    for (int32_t y = 0; y < window->output_height; y++) {
        for (int32_t x = 0; x < window->output_width; x++) {
            const int8_t *w = layer->weights;

            for (int32_t channel = 0; channel < window->output_channels; channel++) {
                int32_t sum = layer->bias[channel];

                for (int32_t ky = 0; ky < window->kernel_height; ky++) {
                    const int32_t row = y + window->padding_top - ky;

                    for (int32_t kx = 0; kx < window->kernel_width; kx++) {
                        const int32_t column = x + window->padding_left - kx;
                        const int32_t i = row / window->stride_height;
                        const int32_t j = column / window->stride_width;

                        if (row >= 0 && column >= 0 && i * window->stride_height == row && j * window->stride_width == column
                            && i < window->input_height && j < window->input_width) {
                            const int8_t *from = input + (i * window->input_width + j) * channels;

                            for (int32_t k = 0; k < channels; k++) {
                                sum = ew_multiply_add(sum, w[k], from[k] - layer->input_zero_point);
                            }
                        }
                        w += channels;
                    }
                }
                *output++ = ew_clamp(ew_requantize(sum, layer->multiplier[channel], layer->shift[channel]), layer->output_zero_point,
                                     layer->output_min, layer->output_max);
            }
        }
    }
}

#endif
