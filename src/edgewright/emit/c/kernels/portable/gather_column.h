/* The input of one output position, as one column of bytes. */
#ifndef EW_GATHER_COLUMN_H
#define EW_GATHER_COLUMN_H

#include <string.h>

#include "window.h"

/* Writes kernel_height x kernel_width x channels bytes to `column`: what the window at output (y, x) sees of `channels`
 * channels, `input` pointing to the first of them; `fill` where it reaches beyond the picture. */
static inline void ew_gather_column(const struct ew_window *window, int32_t y, int32_t x, int32_t channels, int8_t fill,
                                    const int8_t *restrict input, int8_t *restrict column)
{
    const int32_t left = x * window->stride_width - window->padding_left;
    const int32_t right = left + (window->kernel_width - 1) * window->dilation_width;
    const int32_t run = window->kernel_width * channels;
    const int whole = left >= 0 && right < window->input_width && window->dilation_width == 1 && channels == window->input_channels;
    int32_t row = y * window->stride_height - window->padding_top;

    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        if (row < 0 || row >= window->input_height) {
            memset(column, fill, (size_t)run);
            column += run;
        } else if (whole) {
            memcpy(column, input + (row * window->input_width + left) * channels, (size_t)run);
            column += run;
        } else {
            for (int32_t at = left; at <= right; at += window->dilation_width) {
                if (at < 0 || at >= window->input_width) {
                    memset(column, fill, (size_t)channels);
                } else {
                    memcpy(column, input + (row * window->input_width + at) * window->input_channels, (size_t)channels);
                }
                column += channels;
            }
        }
        row += window->dilation_height;
    }
}

#endif
