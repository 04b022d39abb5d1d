/* Two-dimensional convolution with the DSP instructions: int8 input, weights and output. */
#ifndef EW_CONV2D_S8_H
#define EW_CONV2D_S8_H

#include "dot_1x4.h"
#include "dot_2x4.h"
#include "gather_column.h"
#include "kernel.h"
#include "store_row.h"
#include "unpack_window.h"

/* Weights: for each group, pairs of output channels as ew_dot_2x4 reads them, then an odd last one as ew_dot_1x4 does; each padded with
 * zeros to a multiple of four. The bias holds -zero_point * sum(weights) of its channel. `multiplier` holds twice the multiplier. */
struct ew_conv2d_s8 {
    struct ew_window window;
    int32_t groups;
    int32_t direct; /* 1: a window of one pixel that sees every pixel once, in one group */
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* `workspace`: four columns of halves, that is 8 * (kernel_height * kernel_width * input_channels / groups, rounded up to a multiple of
 * four) bytes, aligned to four; then one column of bytes, unless all is in one group and four divides the number of channels. */
EW_KERNEL void ew_conv2d_s8(const struct ew_conv2d_s8 *layer, const int8_t *restrict input, int8_t *restrict output, void *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const struct ew_output shared = {layer->output_zero_point, layer->output_min > -128 || layer->output_max < 127, layer->output_min,
                                     layer->output_max};
    const int32_t channels = window->input_channels / layer->groups;
    const int32_t quads = (window->kernel_height * window->kernel_width * channels + 3) / 4;
    const int32_t rows = window->output_channels / layer->groups;
    const int32_t positions = window->output_height * window->output_width;
    const int plain = layer->groups == 1 && channels % 4 == 0;
    int32_t *columns = workspace;
    int32_t *end = columns + 8 * quads;
    int8_t *bytes = (int8_t *)end;

    if (!plain) {
        memset(bytes + 4 * quads - 4, 0, 4);
    }
    for (int32_t position = 0; position < positions; position += 4) {
        const int8_t *w = layer->weights;
        int32_t channel = 0;
        int32_t at[4];

        for (int32_t c = 0; c < 4; c++) {
            at[c] = (position + c < positions ? c : positions - 1 - position) * window->output_channels;
        }
        for (int32_t group = 0; group < layer->groups; group++) {
            const int32_t group_end = channel + rows;
            int8_t *out = output + position * window->output_channels;

            for (int32_t c = 0; c < 4; c++) {
                const int32_t at_position = position + c < positions ? position + c : positions - 1;
                const int32_t y = at_position / window->output_width;
                const int32_t x = at_position - y * window->output_width;

                if (plain) {
                    ew_unpack_window(window, y, x, layer->input_zero_point, input, columns + c);
                } else {
                    ew_gather_column(window, y, x, channels, (int8_t)layer->input_zero_point, input + group * channels, bytes);
                    ew_unpack(bytes, quads, columns + c);
                }
            }
            for (; channel + 2 <= group_end; channel += 2) {
                int32_t sums[8];

                ew_dot_2x4(w, columns, end, layer->bias + channel, sums);
                ew_store_row(&shared, sums, layer->multiplier[channel], layer->shift[channel], out + channel, at);
                ew_store_row(&shared, sums + 4, layer->multiplier[channel + 1], layer->shift[channel + 1], out + channel + 1, at);
                w += 8 * quads;
            }
            if (channel < group_end) {
                int32_t sums[4];

                ew_dot_1x4(w, columns, end, layer->bias[channel], sums);
                ew_store_row(&shared, sums, layer->multiplier[channel], layer->shift[channel], out + channel, at);
                w += 4 * quads;
                channel++;
            }
        }
    }
}

#endif
