/* Two-dimensional convolution: int8 input, weights and output. */
#ifndef EW_CONV2D_S8_H
#define EW_CONV2D_S8_H

#include "clamp.h"
#include "gather_column.h"
#include "kernel.h"
#include "multiply_add.h"
#include "requantize.h"

/* Weights: for each group, blocks of four output channels, interleaved byte by byte (w0[0] w1[0] w2[0] w3[0] w0[1] ...), then
 * the output channels that are left over, one after the other. The bias holds -zero_point * sum(weights) of its channel. */
struct ew_conv2d_s8 {
    struct ew_window window;
    int32_t groups;
    int32_t direct; /* 1: a window of one pixel that sees every pixel once, in one group */
    int32_t simple; /* 1: every shift is negative, and the bounds are those of int8 */
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* `columns`: 2 * kernel_height * kernel_width * input_channels / groups bytes; unused where `direct`. */
EW_KERNEL void ew_conv2d_s8(const struct ew_conv2d_s8 *layer, const int8_t *restrict input, int8_t *restrict output, int8_t *restrict columns)
{
    const struct ew_window *window = &layer->window;
    const int32_t channels = window->input_channels / layer->groups;
    const int32_t length = window->kernel_height * window->kernel_width * channels;
    const int32_t rows = window->output_channels / layer->groups;
    const int32_t positions = window->output_height * window->output_width;

    for (int32_t position = 0; position < positions; position += 2) {
        const int32_t next = position + 1 < positions ? position + 1 : position;
        int8_t *out = output + position * window->output_channels;
        const int32_t step = (next - position) * window->output_channels;
        const int8_t *w = layer->weights;
        int32_t channel = 0;

        for (int32_t group = 0; group < layer->groups; group++) {
            const int32_t group_end = channel + rows;
            const int8_t *x0 = columns;
            const int8_t *x1 = columns + length;

            if (layer->direct) {
                x0 = input + position * length;
                x1 = input + next * length;
            } else {
                const int8_t *from = input + group * channels;
                const int8_t fill = (int8_t)layer->input_zero_point;

                ew_gather_column(window, position / window->output_width, position % window->output_width, channels, fill, from, columns);
                ew_gather_column(window, next / window->output_width, next % window->output_width, channels, fill, from, columns + length);
            }
            for (; channel + 4 <= group_end; channel += 4) {
                int32_t sums[8];

                for (int32_t row = 0; row < 4; row++) {
                    sums[2 * row] = sums[2 * row + 1] = layer->bias[channel + row];
                }
                for (int32_t k = 0; k < length; k++) {
                    const int32_t a = x0[k];
                    const int32_t b = x1[k];

                    sums[0] = ew_multiply_add(sums[0], w[0], a);
                    sums[1] = ew_multiply_add(sums[1], w[0], b);
                    sums[2] = ew_multiply_add(sums[2], w[1], a);
                    sums[3] = ew_multiply_add(sums[3], w[1], b);
                    sums[4] = ew_multiply_add(sums[4], w[2], a);
                    sums[5] = ew_multiply_add(sums[5], w[2], b);
                    sums[6] = ew_multiply_add(sums[6], w[3], a);
                    sums[7] = ew_multiply_add(sums[7], w[3], b);
                    w += 4;
                }
                for (int32_t row = 0; row < 4; row++) {
                    const int32_t multiplier = layer->multiplier[channel + row];
                    const int32_t shift = layer->shift[channel + row];

                    out[channel + row] = ew_clamp(ew_requantize(sums[2 * row], multiplier, shift), layer->output_zero_point,
                                                  layer->output_min, layer->output_max);
                    out[step + channel + row] = ew_clamp(ew_requantize(sums[2 * row + 1], multiplier, shift), layer->output_zero_point,
                                                         layer->output_min, layer->output_max);
                }
            }
            for (; channel < group_end; channel++) {
                int32_t first = layer->bias[channel];
                int32_t second = first;

                for (int32_t k = 0; k < length; k++) {
                    first = ew_multiply_add(first, w[k], x0[k]);
                    second = ew_multiply_add(second, w[k], x1[k]);
                }
                w += length;
                out[channel] = ew_clamp(ew_requantize(first, layer->multiplier[channel], layer->shift[channel]), layer->output_zero_point,
                                        layer->output_min, layer->output_max);
                out[step + channel] = ew_clamp(ew_requantize(second, layer->multiplier[channel], layer->shift[channel]), layer->output_zero_point,
                                               layer->output_min, layer->output_max);
            }
        }
    }
}

#endif
