/* Transposed two-dimensional convolution of int16, for weights of 8 or 16 bits. */
#ifndef EW_TRANSPOSE_CONV2D_WIDE_H
#define EW_TRANSPOSE_CONV2D_WIDE_H

#include "dot_wide.h"
#include "wide_layer.h"

/* Output row y gets input row i through tap ky where i * stride + ky = y + padding: every stride-th tap, each a row higher. */
EW_INLINE void ew_transpose_conv2d_wide(const struct ew_wide_layer *layer, const int16_t *restrict input, int16_t *restrict output, int words)
{
    const struct ew_window *window = &layer->window;
    const int32_t channels = window->input_channels;
    const int32_t taps = window->kernel_height * window->kernel_width;

    for (int32_t y = 0; y < window->output_height; y++) {
        const int32_t first_row = (y + window->padding_top) / window->stride_height;
        const int32_t first_ky = (y + window->padding_top) % window->stride_height;

        for (int32_t x = 0; x < window->output_width; x++) {
            const int32_t first_column = (x + window->padding_left) / window->stride_width;
            const int32_t first_kx = (x + window->padding_left) % window->stride_width;

            for (int32_t channel = 0; channel < window->output_channels; channel++) {
                int32_t row = first_row;
                int64_t sum = 0;

                for (int32_t ky = first_ky; ky < window->kernel_height; ky += window->stride_height, row--) {
                    int32_t column = first_column;

                    for (int32_t kx = first_kx; kx < window->kernel_width; kx += window->stride_width, column--) {
                        if (row >= 0 && row < window->input_height && column >= 0 && column < window->input_width) {
                            const int32_t tap = (channel * taps + ky * window->kernel_width + kx) * channels;
                            const int8_t *weights = (const int8_t *)layer->weights + (words ? 2 * tap : tap);

                            sum += ew_dot_wide(input + (row * window->input_width + column) * channels, weights, channels, words, 0);
                        }
                    }
                }
                *output++ = ew_rescale_wide(layer, channel, sum);
            }
        }
    }
}

#endif
