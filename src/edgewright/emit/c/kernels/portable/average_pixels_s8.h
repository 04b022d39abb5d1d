/* Average of some pixels for each channel: int8 input and output; halves are rounded away from zero. */
#ifndef EW_AVERAGE_PIXELS_S8_H
#define EW_AVERAGE_PIXELS_S8_H

#include "clamp.h"
#include "kernel.h"
#include "sum_strided.h"

/* `rows` rows, `row_step` bytes apart, of `columns` pixels side by side. */
struct ew_average_pixels_s8 {
    int32_t rows, row_step, columns, channels;
    int32_t output_min, output_max;
};

EW_KERNEL void ew_average_pixels_s8(const struct ew_average_pixels_s8 *layer, const int8_t *restrict input, int8_t *restrict output)
{
    const int32_t count = layer->rows * layer->columns;
    const int32_t channels = layer->channels;

    for (int32_t channel = 0; channel < channels; channel++) {
        const int8_t *row = input + channel;
        int32_t sum = 0;

        for (int32_t left = layer->rows; left > 0; left--) {
            sum = ew_sum_strided(sum, row, layer->columns, channels);
            row += layer->row_step;
        }
        sum = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
        output[channel] = ew_clamp(sum, 0, layer->output_min, layer->output_max);
    }
}

#endif
