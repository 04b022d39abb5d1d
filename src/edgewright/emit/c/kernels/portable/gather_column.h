/* The input of one output position, as one column of bytes. */
#ifndef EW_GATHER_COLUMN_H
#define EW_GATHER_COLUMN_H

#include "copy_run.h"
#include "window.h"

/* Writes kernel_height x kernel_width x channels bytes to `column`: what the window at output (y, x) sees of `channels`
 * channels, `input` pointing to the first of them; `fill` where it reaches beyond the picture. */
EW_KERNEL void ew_gather_column(const struct ew_window *window, int32_t y, int32_t x, int32_t channels, int8_t fill,
                                    const int8_t *restrict input, int8_t *restrict column)
{
    const int32_t left = x * window->stride_width - window->padding_left;
    const int32_t right = left + (window->kernel_width - 1) * window->dilation_width;
    const int32_t run = window->kernel_width * channels;
    int32_t row = y * window->stride_height - window->padding_top;

    if (window->dilation_width == 1 && channels == window->input_channels) {
        /* The kernel's columns before the picture, and those up to its end. */
        const int32_t before = left < 0 ? -left : 0;
        const int32_t start = before < window->kernel_width ? before * channels : run;
        const int32_t inside = window->input_width - left;
        const int32_t end = right < window->input_width ? run : inside * channels > start ? inside * channels : start;

        for (int32_t ky = 0; ky < window->kernel_height; ky++) {
            if (row < 0 || row >= window->input_height) {
                memset(column, fill, (size_t)run);
            } else {
                for (int32_t i = 0; i < start; i++) {
                    column[i] = fill;
                    EW_KEEP_LOOP();
                }
                if (end > start) {
                    ew_copy_run(column + start, input + (row * window->input_width + left) * channels + start, end - start);
                }
                for (int32_t i = end; i < run; i++) {
                    column[i] = fill;
                    EW_KEEP_LOOP();
                }
            }
            column += run;
            row += window->dilation_height;
        }
        return;
    }
    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        for (int32_t at = left; at <= right; at += window->dilation_width) {
            if (row < 0 || row >= window->input_height || at < 0 || at >= window->input_width) {
                memset(column, fill, (size_t)channels);
            } else {
                ew_copy_run(column, input + (row * window->input_width + at) * window->input_channels, channels);
            }
            column += channels;
        }
        row += window->dilation_height;
    }
}

#endif
