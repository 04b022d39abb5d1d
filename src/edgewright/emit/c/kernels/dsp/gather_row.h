/* What one row of a window sees, as bytes side by side. */
#ifndef EW_GATHER_ROW_H
#define EW_GATHER_ROW_H

#include "kernel.h"
#include "simd.h"
#include "window.h"

/* kernel_width * channels bytes to `to`: of `channels` channels, the first of them at `input`, in row `row` of the picture from column `left`
 * on; `fill` where that lies outside. */
EW_KERNEL void ew_gather_row(const struct ew_window *window, int32_t row, int32_t left, int32_t channels, int8_t fill, const int8_t *input,
                             int8_t *to)
{
    const int32_t pixel = window->input_channels;
    int32_t taps = window->kernel_width;
    int32_t run = channels;

    /* Where the taps are neighbours in memory, those inside are one run of bytes. */
    if (window->dilation_width == 1 && channels == pixel && left >= 0 && left + taps <= window->input_width) {
        run = taps * channels;
        taps = 1;
    }
    for (; taps > 0; taps--) {
        int32_t bytes = run;

        if (row < 0 || row >= window->input_height || left < 0 || left >= window->input_width) {
            for (; bytes > 0; bytes--) {
                *to++ = fill;
                EW_KEEP_LOOP();
            }
        } else {
            const int8_t *from = input + (row * window->input_width + left) * pixel;

            for (; bytes >= 4; bytes -= 4) {
                memcpy(to, from, 4);
                to += 4;
                from += 4;
            }
            for (; bytes > 0; bytes--) {
                *to++ = *from++;
                EW_KEEP_LOOP();
            }
        }
        left += window->dilation_width;
    }
}

#endif
