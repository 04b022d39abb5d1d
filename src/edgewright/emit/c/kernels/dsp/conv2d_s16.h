/* Two-dimensional convolution with the DSP instructions: int16 input and output, int8 weights. */
#ifndef EW_CONV2D_S16_H
#define EW_CONV2D_S16_H

#include "gather_wide.h"
#include "multiply_wide.h"

/* Weights: for each group as ew_multiply_wide takes them. `workspace`, aligned to four: two columns,
 * 4 * (kernel_height * kernel_width * input_channels / groups, rounded up to a multiple of four) bytes; unused where `direct` and four divides
 * the number of channels. */
EW_KERNEL void ew_conv2d_s16(const struct ew_wide_layer *layer, const int16_t *restrict input, int16_t *restrict output, void *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const int32_t channels = window->input_channels / layer->groups;
    const int32_t length = window->kernel_height * window->kernel_width * channels;
    const int32_t padded = (length + 3) & ~3;
    const int32_t rows = window->output_channels / layer->groups;
    const int32_t positions = window->output_height * window->output_width;
    const int gathered = !layer->direct || length != padded;
    struct ew_wide_columns columns = {workspace, (const int16_t *)workspace + padded, padded, window->output_channels};

    for (int32_t position = 0; position < positions; position += 2) {
        const int32_t many = position + 1 < positions ? 2 : 1;
        const int8_t *weights = layer->weights;

        columns.step = many == 2 ? window->output_channels : 0;
        for (int32_t group = 0; group < layer->groups; group++) {
            if (gathered) {
                for (int32_t c = 0; c < 2; c++) {
                    const int32_t at = position + (c < many ? c : 0);
                    int16_t *to = (int16_t *)workspace + c * padded;

                    ew_gather_wide(window, at / window->output_width, at % window->output_width, channels, input + group * channels, to);
                    for (int32_t k = length; k < padded; k++) {
                        to[k] = 0;
                    }
                }
            } else {
                columns.first = input + position * length;
                columns.second = columns.first + (many - 1) * length;
            }
            weights = ew_multiply_wide(layer, &columns, weights, group * rows, (group + 1) * rows, output + position * window->output_channels);
        }
    }
}

#endif
