/* Depthwise two-dimensional convolution of int16, for weights of 8 or 16 bits. */
#ifndef EW_DEPTHWISE_WIDE_H
#define EW_DEPTHWISE_WIDE_H

#include "kernel.h"
#include "wide_layer.h"

/* The sum of one output channel whose window has its corner at (top, left). `input`: the channel that it sees. Rows of 8-bit weights have at
 * most 256. */
EW_INLINE int64_t ew_depthwise_sum(const struct ew_window *window, const int16_t *input, const void *weights, int32_t top, int32_t left, int words)
{
    const int8_t *bytes = weights;
    const int16_t *halves = weights;
    int32_t row = top;
    int64_t sum = 0;

    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        int32_t column = left;
        int32_t part = 0;

        for (int32_t kx = 0; kx < window->kernel_width; kx++) {
            if (row >= 0 && row < window->input_height && column >= 0 && column < window->input_width) {
                const int32_t x = input[(row * window->input_width + column) * window->input_channels];

                if (words) {
                    sum += x * *halves;
                } else {
                    part += x * *bytes;
                }
            }
            column += window->dilation_width;
            halves++;
            bytes++;
        }
        sum += part;
        row += window->dilation_height;
    }
    return sum;
}

/* Output channel c * multiplier + j comes from input channel c. */
EW_INLINE void ew_depthwise_wide(const struct ew_wide_layer *layer, const int16_t *restrict input, int16_t *restrict output, int words)
{
    const struct ew_window *window = &layer->window;
    const int32_t filters = window->output_channels / window->input_channels;
    const int32_t row_bytes = window->kernel_height * window->kernel_width * (words ? 2 : 1);

    for (int32_t y = 0; y < window->output_height; y++) {
        for (int32_t x = 0; x < window->output_width; x++) {
            const int32_t top = y * window->stride_height - window->padding_top;
            const int32_t left = x * window->stride_width - window->padding_left;
            const int8_t *weights = layer->weights;

            for (int32_t channel = 0; channel < window->output_channels; channel++) {
                const int64_t sum = ew_depthwise_sum(window, input + channel / filters, weights, top, left, words);

                *output++ = ew_rescale_wide(layer, channel, sum);
                weights += row_bytes;
            }
        }
    }
}

#endif
