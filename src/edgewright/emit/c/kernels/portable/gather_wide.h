/* The input of one output position, as one column of int16. */
#ifndef EW_GATHER_WIDE_H
#define EW_GATHER_WIDE_H

#include "copy_run.h"
#include "window.h"

/* Writes kernel_height x kernel_width x channels numbers to `column`: what the window at output (y, x) sees of `channels` channels, `input`
 * pointing to the first of them; zeros where it reaches beyond the picture. */
EW_KERNEL void ew_gather_wide(const struct ew_window *window, int32_t y, int32_t x, int32_t channels, const int16_t *restrict input,
                              int16_t *restrict column)
{
    /* Taps that are neighbours in memory are taken as one. */
    const int together = window->dilation_width == 1 && channels == window->input_channels;
    const int32_t taps = together ? window->kernel_width : 1;
    const int32_t left = x * window->stride_width - window->padding_left;
    int32_t row = y * window->stride_height - window->padding_top;

    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        int32_t at = left;

        for (int32_t kx = 0; kx < window->kernel_width; kx += taps) {
            const int32_t skipped = at < 0 ? (-at < taps ? -at : taps) : 0;
            const int32_t room = window->input_width - at;
            const int32_t end = row < 0 || row >= window->input_height || room < skipped ? skipped : room < taps ? room : taps;

            memset(column, 0, (size_t)(2 * skipped * channels));
            if (end > skipped) {
                const int16_t *from = input + (row * window->input_width + at + skipped) * window->input_channels;

                ew_copy_run((int8_t *)(column + skipped * channels), (const int8_t *)from, 2 * (end - skipped) * channels);
            }
            memset(column + end * channels, 0, (size_t)(2 * (taps - end) * channels));
            column += taps * channels;
            at += window->dilation_width;
        }
        row += window->dilation_height;
    }
}

#endif
