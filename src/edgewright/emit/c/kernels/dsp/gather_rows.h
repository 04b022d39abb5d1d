/* What rows of a window see, as bytes side by side. */
#ifndef EW_GATHER_ROWS_H
#define EW_GATHER_ROWS_H

#include "kernel.h"
#include "simd.h"
#include "window.h"

/* `count` bytes of one value. */
static inline int8_t *ew_put(int8_t *to, int32_t count, int8_t value)
{
    for (; count > 0; count--) {
        *to++ = value;
        EW_KEEP_LOOP();
    }
    return to;
}

/* `count` bytes. */
static inline int8_t *ew_take(int8_t *to, int32_t count, const int8_t *from)
{
    for (; count >= 4; count -= 4) {
        EW_COPY_4(to, from);
        to += 4;
        from += 4;
    }
    for (; count > 0; count--) {
        *to++ = *from++;
        EW_KEEP_LOOP();
    }
    return to;
}

/* `rows` times kernel_width * channels bytes to `to`: of `channels` channels, the first of them at `input`, of the picture's rows from `row` on
 * and columns from `left` on, as far apart as the dilation says; `fill` where that lies outside. */
EW_KERNEL void ew_gather_rows(const struct ew_window *window, int32_t row, int32_t rows, int32_t left, int32_t channels, int8_t fill,
                              const int8_t *input, int8_t *to)
{
    const int32_t taps = window->kernel_width;
    const int32_t width = window->input_width;
    const int32_t pixel = window->input_channels;

    for (; rows > 0; rows--) {
        if (row < 0 || row >= window->input_height) {
            to = ew_put(to, taps * channels, fill);
        } else if (window->dilation_width == 1 && channels == pixel) {
            /* Taps that are neighbours in memory: some before the picture, some within, some behind it. */
            const int32_t before = left < 0 ? (-left < taps ? -left : taps) : 0;
            const int32_t ends = width - left < taps ? width - left : taps;
            const int32_t within = ends > before ? ends - before : 0;

            to = ew_put(to, before * channels, fill);
            to = ew_take(to, within * channels, input + (row * width + left + before) * channels);
            to = ew_put(to, (taps - before - within) * channels, fill);
        } else {
            int32_t column = left;

            for (int32_t kx = 0; kx < taps; kx++) {
                if (column < 0 || column >= width) {
                    to = ew_put(to, channels, fill);
                } else {
                    to = ew_take(to, channels, input + (row * width + column) * pixel);
                }
                column += window->dilation_width;
            }
        }
        row += window->dilation_height;
    }
}

#endif
