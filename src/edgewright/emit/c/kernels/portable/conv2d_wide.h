/* Two-dimensional convolution of int16, for weights of 8 or 16 bits. */
#ifndef EW_CONV2D_WIDE_H
#define EW_CONV2D_WIDE_H

#include "dot_wide.h"
#include "gather_wide.h"
#include "wide_layer.h"

/* `workspace`, aligned to two: 2 * kernel_height * kernel_width * input_channels / groups bytes; unused where `direct`. */
EW_INLINE void ew_conv2d_wide(const struct ew_wide_layer *layer, const int16_t *restrict input, int16_t *restrict output,
                              void *restrict workspace, int words)
{
    const struct ew_window *window = &layer->window;
    const int32_t channels = window->input_channels / layer->groups;
    const int32_t length = window->kernel_height * window->kernel_width * channels;
    const int32_t rows = window->output_channels / layer->groups;
    const int32_t row_bytes = words ? 2 * length : length;

    for (int32_t y = 0; y < window->output_height; y++) {
        for (int32_t x = 0; x < window->output_width; x++) {
            const int8_t *weights = layer->weights;
            int32_t channel = 0;

            for (int32_t group = 0; group < layer->groups; group++) {
                const int16_t *column = input;

                if (layer->direct) {
                    input += length;
                } else {
                    ew_gather_wide(window, y, x, channels, input + group * channels, workspace);
                    column = workspace;
                }
                for (int32_t row = 0; row < rows; row++) {
                    const int64_t sum = layer->narrow ? ew_dot_wide(column, weights, length, words, 1)
                                                      : ew_dot_wide(column, weights, length, words, 0);

                    *output++ = ew_rescale_wide(layer, channel, sum);
                    weights += row_bytes;
                    channel++;
                }
            }
        }
    }
}

#endif
