/* Two-dimensional convolution with the DSP instructions: int8 input, weights and output. */
#ifndef EW_CONV2D_S8_H
#define EW_CONV2D_S8_H

#include "fill_columns.h"
#include "kernel.h"
#include "multiply_rows.h"

/* Weights: for each group the rows of its output channels as ew_multiply_rows takes them. The bias holds -zero_point * sum(weights) of
 * its channel. `multiplier` holds twice the multiplier, modulo 2**32. */
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

/* `workspace`, aligned to four: four columns of halves, 8 * (kernel_height * kernel_width * input_channels / groups, rounded up to a
 * multiple of four) bytes; then one pixel of bytes, where all is in one group and four divides the number of channels, else four columns
 * of bytes. */
EW_KERNEL void ew_conv2d_s8(const struct ew_conv2d_s8 *layer, const int8_t *restrict input, int8_t *restrict output, void *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const struct ew_output rescaling = {layer->bias, layer->multiplier, layer->shift, layer->simple, layer->output_zero_point, layer->output_min,
                                        layer->output_max};
    const int32_t channels = window->input_channels / layer->groups;
    const int32_t length = window->kernel_height * window->kernel_width * channels;
    const int32_t quads = (length + 3) / 4;
    const int32_t rows = window->output_channels / layer->groups;
    const int32_t positions = window->output_height * window->output_width;
    const int plain = layer->groups == 1 && channels % 4 == 0;
    int32_t *columns = workspace;
    int32_t *end = columns + 8 * quads;
    int8_t *bytes = (int8_t *)end;
    struct ew_positions four;
    int32_t at[4];
    int32_t x = 0, y = 0;

    memset(bytes, layer->input_zero_point, (size_t)(plain ? channels : 16 * quads));
    for (int32_t position = 0; position < positions; position += 4) {
        const int8_t *weights = layer->weights;

        for (int c = 0; c < 4; c++) {
            if (position + c < positions) {
                at[c] = (position + c) * window->output_channels;
                four.y[c] = y;
                four.x[c] = x++;
                if (x == window->output_width) {
                    x = 0;
                    y++;
                }
            } else {
                at[c] = at[c - 1];
                four.y[c] = four.y[c - 1];
                four.x[c] = four.x[c - 1];
            }
        }
        for (int32_t group = 0; group < layer->groups; group++) {
            if (plain) {
                ew_fill_columns(window, &four, input, bytes, columns);
            } else {
                const int8_t *const from[4] = {bytes, bytes + 4 * quads, bytes + 8 * quads, bytes + 12 * quads};

                for (int c = 0; c < 4; c++) {
                    ew_gather_column(window, four.y[c], four.x[c], channels, (int8_t)layer->input_zero_point, input + group * channels,
                                     bytes + 4 * quads * c);
                }
                ew_unpack_4(from, quads, columns);
            }
            weights = ew_multiply_rows(&rescaling, weights, columns, end, group * rows, (group + 1) * rows, output, at);
        }
    }
}

#endif
