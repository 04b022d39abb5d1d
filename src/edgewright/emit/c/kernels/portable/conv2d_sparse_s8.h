/* Two-dimensional convolution: int8 input and output, weights that are mostly zeros. */
#ifndef EW_CONV2D_SPARSE_S8_H
#define EW_CONV2D_SPARSE_S8_H

#include "kernel.h"
#include "multiply_add.h"
#include "requantize_within.h"
#include "window.h"

/* Weights: for each of the `counts` entries of an output channel two bytes, how many inputs of the window to pass over since the last one, and
 * the weight of the next. The bias holds -zero_point * sum(weights) of its channel. */
struct ew_conv2d_sparse_s8 {
    struct ew_window window;
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const uint16_t *counts;
    const uint8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* What the window whose corner is at (top, left) sees, every fourth byte from `to` on; `fill` beyond the picture. */
static inline void ew_spread_column(const struct ew_window *window, int32_t top, int32_t left, int8_t fill, const int8_t *input, int8_t *to)
{
    const int32_t channels = window->input_channels;

    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        const int32_t y = top + ky * window->dilation_height;

        for (int32_t kx = 0; kx < window->kernel_width; kx++) {
            const int32_t x = left + kx * window->dilation_width;
            const int within = (uint32_t)y < (uint32_t)window->input_height && (uint32_t)x < (uint32_t)window->input_width;
            const int8_t *const from = within ? input + (y * window->input_width + x) * channels : &fill;

            for (int32_t k = 0; k < channels; k++) {
                *to = from[within ? k : 0];
                to += 4;
            }
        }
    }
}

/* sums[c] += the entries up to `end` with column c; byte k of the four columns lies at columns + 4 * k. */
static inline void ew_multiply_entries(const uint8_t *entry, const uint8_t *end, const int8_t *columns, int32_t sums[4])
{
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];

    while (entry != end) {
        const int32_t weight = (int8_t)entry[1];

        columns += 4 * entry[0];
        s0 = ew_multiply_add(s0, weight, columns[0]);
        s1 = ew_multiply_add(s1, weight, columns[1]);
        s2 = ew_multiply_add(s2, weight, columns[2]);
        s3 = ew_multiply_add(s3, weight, columns[3]);
        columns += 4;
        entry += 2;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* `workspace`: 4 * kernel_height * kernel_width * input_channels bytes. */
EW_KERNEL void ew_conv2d_sparse_s8(const struct ew_conv2d_sparse_s8 *layer, const int8_t *restrict input, int8_t *restrict output,
                                   int8_t *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const struct ew_bounds bounds = {layer->output_zero_point, layer->output_min, layer->output_max};
    const int32_t positions = window->output_height * window->output_width;

    for (int32_t position = 0; position < positions; position += 4) {
        const int32_t many = positions - position < 4 ? positions - position : 4;
        const uint8_t *entry = layer->weights;

        for (int32_t c = 0; c < 4; c++) {
            /* Columns that are missing at the end are the last one again. */
            const int32_t at = position + (c < many ? c : many - 1);

            ew_spread_column(window, at / window->output_width * window->stride_height - window->padding_top,
                             at % window->output_width * window->stride_width - window->padding_left, (int8_t)layer->input_zero_point, input,
                             workspace + c);
        }
        for (int32_t row = 0; row < window->output_channels; row++) {
            const uint8_t *const end = entry + 2 * layer->counts[row];
            int32_t sums[4] = {layer->bias[row], layer->bias[row], layer->bias[row], layer->bias[row]};

            ew_multiply_entries(entry, end, workspace, sums);
            entry = end;
            for (int32_t c = 0; c < many; c++) {
                output[(position + c) * window->output_channels + row] =
                    ew_requantize_within(sums[c], layer->multiplier[row], layer->shift[row], &bounds);
            }
        }
    }
}

#endif
