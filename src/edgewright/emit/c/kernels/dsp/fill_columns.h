/* The inputs of four output positions as the columns of a matrix product. */
#ifndef EW_FILL_COLUMNS_H
#define EW_FILL_COLUMNS_H

#include "gather_row.h"
#include "unpack_4.h"

/* The places of four windows in the picture: their first rows and columns. */
struct ew_windows {
    int32_t top[4], left[4];
};

/* `channels` channels, the first of them at `input`. `bytes`: room for a row of a window that is all zero points, and for one row of each of
 * the four; where four does not divide the bytes of such a row, for four whole windows, rounded up to fours, instead. */
static inline void ew_fill_columns(const struct ew_window *window, const struct ew_windows *four, int32_t channels, int8_t fill,
                                   const int8_t *input, int8_t *bytes, int32_t *columns)
{
    const int32_t run = window->kernel_width * channels;
    const int32_t length = (window->kernel_height * run + 3) & ~3;
    const int near = window->dilation_width == 1 && channels == window->input_channels;
    const int8_t *from[4];

    if (run % 4 != 0) {
        for (int c = 0; c < 4; c++) {
            for (int32_t ky = 0; ky < window->kernel_height; ky++) {
                ew_gather_row(window, four->top[c] + ky * window->dilation_height, four->left[c], channels, fill, input,
                              bytes + c * length + ky * run);
            }
            from[c] = bytes + c * length;
        }
        ew_unpack_4(from, length / 4, columns);
        return;
    }
    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        for (int c = 0; c < 4; c++) {
            const int32_t row = four->top[c] + ky * window->dilation_height;
            const int32_t left = four->left[c];

            if (row < 0 || row >= window->input_height) {
                from[c] = bytes;
            } else if (near && left >= 0 && left + window->kernel_width <= window->input_width) {
                from[c] = input + (row * window->input_width + left) * channels;
            } else {
                ew_gather_row(window, row, left, channels, fill, input, bytes + (c + 1) * run);
                from[c] = bytes + (c + 1) * run;
            }
        }
        columns = ew_unpack_4(from, run / 4, columns);
    }
}

#endif
