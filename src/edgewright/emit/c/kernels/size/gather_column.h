/* The input of one output position, as one column of bytes, in little code. */
#ifndef EW_GATHER_COLUMN_H
#define EW_GATHER_COLUMN_H

#include "kernel.h"
#include "window.h"

/* Writes kernel_height x kernel_width x channels bytes to `column`: what the window whose first tap is at (top, left) sees of `channels`
 * channels, `input` pointing to the first of them; `fill` where it reaches beyond the picture. */
EW_KERNEL void ew_gather_column(const struct ew_window *window, int32_t top, int32_t left, int32_t channels, int8_t fill,
                                const int8_t *restrict input, int8_t *restrict column)
{
    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        const int32_t row = top + ky * window->dilation_height;

        for (int32_t kx = 0; kx < window->kernel_width; kx++) {
            const int32_t at = left + kx * window->dilation_width;
            const int inside = row >= 0 && row < window->input_height && at >= 0 && at < window->input_width;
            const int8_t *from = inside ? input + (row * window->input_width + at) * window->input_channels : &fill;

            for (int32_t left_over = channels; left_over > 0; left_over--) {
                *column++ = *from;
                from += inside;
                EW_KEEP_LOOP();
            }
        }
    }
}

#endif
