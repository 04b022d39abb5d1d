/* The input of one output position as halves, straight from the picture. */
#ifndef EW_UNPACK_WINDOW_H
#define EW_UNPACK_WINDOW_H

#include "unpack.h"
#include "window.h"

/* `quads` times four bytes of value `fill`, as ew_unpack would unpack them. */
static inline int32_t *ew_unpack_fill(int32_t fill, int32_t quads, int32_t *to)
{
    const int32_t halves = (int32_t)(((uint32_t)fill & 0xffffu) * 0x10001u);

    for (; quads > 0; quads--) {
        to[0] = halves;
        to[4] = halves;
        to += 8;
    }
    return to;
}

/* As ew_gather_column and then ew_unpack, for a number of channels that four divides, all of them in one group. */
static inline void ew_unpack_window(const struct ew_window *window, int32_t y, int32_t x, int32_t fill, const int8_t *restrict input,
                                    int32_t *restrict to)
{
    const int32_t pixel = window->input_channels / 4;
    const int32_t left = x * window->stride_width - window->padding_left;
    int32_t row = y * window->stride_height - window->padding_top;

    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        if (row < 0 || row >= window->input_height) {
            to = ew_unpack_fill(fill, window->kernel_width * pixel, to);
        } else if (window->dilation_width == 1 && left >= 0 && left + window->kernel_width <= window->input_width) {
            to = ew_unpack(input + (row * window->input_width + left) * window->input_channels, window->kernel_width * pixel, to);
        } else {
            int32_t at = left;

            for (int32_t kx = 0; kx < window->kernel_width; kx++) {
                to = at < 0 || at >= window->input_width ? ew_unpack_fill(fill, pixel, to)
                                                         : ew_unpack(input + (row * window->input_width + at) * window->input_channels, pixel, to);
                at += window->dilation_width;
            }
        }
        row += window->dilation_height;
    }
}

#endif
