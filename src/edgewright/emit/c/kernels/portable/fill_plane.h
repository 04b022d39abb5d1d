/* One channel of some rows of a picture, padded on all sides. */
#ifndef EW_FILL_PLANE_H
#define EW_FILL_PLANE_H

#include "depthwise_layer.h"
#include "kernel.h"

/* How a picture is walked: steps between rows and columns in elements. `height` rows of the picture from `top` on, some of which may lie
 * outside of it, go to a plane whose rows are `width` bytes long; its first stands for column -padding_left. */
struct ew_plane {
    int32_t row, column;
    int32_t top, height, width;
};

/* The part of the picture that the strip of output rows from row `first` on, `rows` of them, sees. */
static inline struct ew_plane ew_plane_of(const struct ew_depthwise_layer *layer, int32_t first, int32_t rows)
{
    const struct ew_window *window = &layer->window;
    const struct ew_plane shape = {layer->input_row, layer->input_column, first * window->stride_height - window->padding_top,
                                   (rows - 1) * window->stride_height + (window->kernel_height - 1) * window->dilation_height + 1,
                                   (window->output_width - 1) * window->stride_width + (window->kernel_width - 1) * window->dilation_width + 1};

    return shape;
}

/* Copies what lies within the picture; the rest stays as it is. `input` points to the channel. */
EW_KERNEL void ew_fill_plane(const struct ew_window *window, const struct ew_plane *shape, const int8_t *restrict input, int8_t *restrict plane)
{
    const int32_t step = shape->column;
    const int32_t room = shape->width - window->padding_left;
    const int32_t inside = room < window->input_width ? room : window->input_width;
    const int32_t bottom = shape->top + shape->height;
    const int32_t end = bottom < window->input_height ? bottom : window->input_height;

    for (int32_t y = shape->top < 0 ? 0 : shape->top; y < end; y++) {
        const int8_t *from = input + y * shape->row;
        int8_t *to = plane + (y - shape->top) * shape->width + window->padding_left;
        int32_t left = inside;

        for (; left >= 4; left -= 4) {
            to[0] = from[0];
            to[1] = from[step];
            to[2] = from[2 * step];
            to[3] = from[3 * step];
            from += 4 * step;
            to += 4;
        }
        for (; left > 0; left--) {
            *to++ = *from;
            from += step;
        }
    }
}

#endif
