/* Images made larger or smaller by interpolation between four pixels: int16. */
#ifndef EW_RESIZE_BILINEAR_S16_H
#define EW_RESIZE_BILINEAR_S16_H

#include <stdint.h>

#include "kernel.h"

/* For each output row (and column): the input rows before and after it, and its distance from the first in 1/1024. */
struct ew_resize_bilinear_s16 {
    int32_t input_width, output_height, output_width, channels;
    const uint16_t *upper_rows, *lower_rows, *left_columns, *right_columns;
    const int16_t *row_distance, *column_distance;
};

/* Rounded to nearest, halves away from zero. */
EW_KERNEL void ew_resize_bilinear_s16(const struct ew_resize_bilinear_s16 *layer, const int16_t *restrict input, int16_t *restrict output)
{
    for (int32_t y = 0; y < layer->output_height; y++) {
        const int16_t *upper = input + layer->upper_rows[y] * layer->input_width * layer->channels;
        const int16_t *lower = input + layer->lower_rows[y] * layer->input_width * layer->channels;
        const int32_t down = layer->row_distance[y];

        for (int32_t x = 0; x < layer->output_width; x++) {
            const int32_t left = layer->left_columns[x] * layer->channels;
            const int32_t right = layer->right_columns[x] * layer->channels;
            const int32_t across = layer->column_distance[x];

            for (int32_t channel = 0; channel < layer->channels; channel++) {
                const int32_t above = upper[left + channel] * (1024 - across) + upper[right + channel] * across;
                const int32_t below = lower[left + channel] * (1024 - across) + lower[right + channel] * across;
                const int64_t sum = (int64_t)above * (1024 - down) + (int64_t)below * down;

                *output++ = (int16_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
            }
        }
    }
}

#endif
