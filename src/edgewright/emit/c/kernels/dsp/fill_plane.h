/* One channel of some rows of a picture as halves, padded on all sides. */
#ifndef EW_FILL_PLANE_H
#define EW_FILL_PLANE_H

#include <stdint.h>

#include "kernel.h"
#include "window.h"

/* How a picture is walked: steps between rows and columns in elements, and the value around it. */
struct ew_walk {
    int32_t row, column, zero_point;
};

/* `height` rows of `width` halves go to `plane`; its first stands for the picture's position (top, -padding_left). `input` points to
 * the channel. */
EW_KERNEL void ew_fill_plane(const struct ew_window *window, const struct ew_walk *walk, int32_t top, int32_t height, int32_t width,
                             const int8_t *restrict input, int16_t *restrict plane)
{
    const int32_t step = walk->column;
    const int16_t fill = (int16_t)walk->zero_point;
    const int32_t room = width - window->padding_left;
    const int32_t inside = room < window->input_width ? room : window->input_width;

    for (int32_t y = top; y < top + height; y++) {
        int16_t *const end = plane + width;

        if (y >= 0 && y < window->input_height) {
            const int8_t *from = input + y * walk->row;
            int32_t left = inside;

            for (int32_t x = 0; x < window->padding_left; x++) {
                *plane++ = fill;
            }
            for (; left >= 4; left -= 4) {
                plane[0] = from[0];
                plane[1] = from[step];
                plane[2] = from[2 * step];
                plane[3] = from[3 * step];
                from += 4 * step;
                plane += 4;
            }
            for (; left > 0; left--) {
                *plane++ = *from;
                from += step;
            }
        }
        while (plane < end) {
            *plane++ = fill;
        }
    }
}

#endif
