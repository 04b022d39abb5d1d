/* Depthwise two-dimensional convolution of int16, for weights of 8 or 16 bits. */
#ifndef EW_DEPTHWISE_WIDE_H
#define EW_DEPTHWISE_WIDE_H

#include "kernel.h"
#include "wide_layer.h"

/* Output channel c * multiplier + j comes from input channel c. Rows of 8-bit weights have at most 256. */
EW_INLINE void ew_depthwise_wide(const struct ew_wide_layer *layer, const int16_t *restrict input, int16_t *restrict output, int words)
{
    const struct ew_window *window = &layer->window;
    const int32_t filters = window->output_channels / window->input_channels;
    const int32_t taps = window->kernel_height * window->kernel_width;

    for (int32_t y = 0; y < window->output_height; y++) {
        for (int32_t x = 0; x < window->output_width; x++) {
            const int32_t top = y * window->stride_height - window->padding_top;
            const int32_t left = x * window->stride_width - window->padding_left;

            for (int32_t channel = 0; channel < window->output_channels; channel++) {
                const int8_t *bytes = (const int8_t *)layer->weights + channel * taps;
                const int16_t *halves = (const int16_t *)layer->weights + channel * taps;
                int32_t row = top;
                int64_t sum = 0;

                for (int32_t ky = 0; ky < window->kernel_height; ky++) {
                    if (row >= 0 && row < window->input_height) {
                        int32_t column = left;
                        int32_t part = 0;

                        for (int32_t kx = 0; kx < window->kernel_width; kx++) {
                            if (column >= 0 && column < window->input_width) {
                                const int32_t value = input[(row * window->input_width + column) * window->input_channels + channel / filters];

                                if (words) {
                                    sum += value * halves[kx];
                                } else {
                                    part += value * bytes[kx];
                                }
                            }
                            column += window->dilation_width;
                        }
                        sum += part;
                    }
                    bytes += window->kernel_width;
                    halves += window->kernel_width;
                    row += window->dilation_height;
                }
                *output++ = ew_rescale_wide(layer, channel, sum);
            }
        }
    }
}

#endif
