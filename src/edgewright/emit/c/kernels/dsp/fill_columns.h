/* The inputs of four output positions as the columns of a matrix product. */
#ifndef EW_FILL_COLUMNS_H
#define EW_FILL_COLUMNS_H

#include "gather_column.h"
#include "unpack_4.h"

/* Four output positions: y and x of each. */
struct ew_positions {
    int32_t y[4], x[4];
};

/* For a number of channels that four divides, all in one group. `pixel`: one pixel of zero points. */
static inline void ew_fill_columns(const struct ew_window *window, const struct ew_positions *four, const int8_t *input, const int8_t *pixel,
                                   int32_t *columns)
{
    const int32_t channels = window->input_channels;
    const int32_t reach = (window->kernel_width - 1) * window->dilation_width;
    int32_t top[4], left[4];
    int whole = window->dilation_width == 1 && window->dilation_height == 1;

    for (int c = 0; c < 4; c++) {
        top[c] = four->y[c] * window->stride_height - window->padding_top;
        left[c] = four->x[c] * window->stride_width - window->padding_left;
        whole = whole && left[c] >= 0 && left[c] + reach < window->input_width && top[c] >= 0
                && top[c] + window->kernel_height <= window->input_height;
    }
    if (whole) {
        const int8_t *from[4];

        for (int c = 0; c < 4; c++) {
            from[c] = input + (top[c] * window->input_width + left[c]) * channels;
        }
        for (int32_t ky = 0; ky < window->kernel_height; ky++) {
            columns = ew_unpack_4(from, window->kernel_width * channels / 4, columns);
            for (int c = 0; c < 4; c++) {
                from[c] += window->input_width * channels;
            }
        }
        return;
    }
    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        for (int32_t kx = 0; kx < window->kernel_width; kx++) {
            const int8_t *from[4];

            for (int c = 0; c < 4; c++) {
                const int32_t row = top[c] + ky * window->dilation_height;
                const int32_t column = left[c] + kx * window->dilation_width;
                const int inside = (uint32_t)row < (uint32_t)window->input_height && (uint32_t)column < (uint32_t)window->input_width;

                from[c] = inside ? input + (row * window->input_width + column) * channels : pixel;
            }
            columns = ew_unpack_4(from, channels / 4, columns);
        }
    }
}

#endif
