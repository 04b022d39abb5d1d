/* What rows of a window see, as bytes side by side. */
#ifndef EW_GATHER_ROWS_H
#define EW_GATHER_ROWS_H

#include "kernel.h"
#include "put.h"
#include "simd.h"
#include "window.h"

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
    /* Taps that are neighbours in memory are taken as one: some before the picture, some within, some behind it. */
    const int together = window->dilation_width == 1 && channels == window->input_channels;
    const int32_t width = window->input_width;
    const int32_t count = together ? window->kernel_width : 1;
    const int32_t before = left < 0 ? (-left < count ? -left : count) : 0;

    for (; rows > 0; rows--) {
        int32_t column = left;

        for (int32_t taps = window->kernel_width; taps > 0; taps -= count) {
            const int32_t skip = together ? before : column < 0;
            const int32_t ends = width - column < count ? width - column : count;
            const int32_t within = ends > skip && row >= 0 && row < window->input_height ? ends - skip : 0;

            if (within > 0) {
                if (skip > 0) {
                    to = ew_put(to, skip * channels, fill);
                }
                to = ew_take(to, within * channels, input + (row * width + column + skip) * window->input_channels);
                if (skip + within < count) {
                    to = ew_put(to, (count - skip - within) * channels, fill);
                }
            } else {
                to = ew_put(to, count * channels, fill);
            }
            column += window->dilation_width;
        }
        row += window->dilation_height;
    }
}

#endif
