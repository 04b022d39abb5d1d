/* The padded input of a tile of a depthwise convolution, sixteen channels of it. */
#ifndef EW_FILL_PLANE_H
#define EW_FILL_PLANE_H

#include <arm_mve.h>

#include "kernel.h"
#include "window.h"

/* Outputs that one plane serves, and where they begin. `lanes`: which of the sixteen channels there are. */
struct ew_tile {
    int32_t rows, columns;
    int8_t *output;
    mve_pred16_t lanes;
};

/* Sixteen output channels: which there are, and the input channel of each, counted from `first`. */
struct ew_lanes {
    mve_pred16_t active;
    int32_t first, spread;
    uint8x16_t from;
};

/* The lanes of output channels `channel` ... of `channels`, `filters` of them for each input channel. */
static inline struct ew_lanes ew_lanes_of(int32_t channel, int32_t channels, int32_t filters)
{
    struct ew_lanes lanes = {vctp8q((uint32_t)(channels - channel)), channel / filters, filters > 1, vdupq_n_u8(0)};
    uint8_t from[16];

    if (lanes.spread) {
        for (int32_t i = 0; i < 16; i++) {
            from[i] = (uint8_t)((channel + i) / filters - lanes.first);
        }
        lanes.from = vldrbq_u8(from);
    }
    return lanes;
}

static inline void ew_fill_pixels(int8_t **to, int32_t count, int8x16_t fill)
{
    for (; count > 0; count--) {
        vstrbq_s8(*to, fill);
        *to += 16;
    }
}

/* Returns the bytes of a row of the plane. */
static inline int32_t ew_fill_plane(const struct ew_window *window, int32_t y, int32_t x, const struct ew_tile *tile, const struct ew_lanes *lanes,
                                    int8_t fill_byte, const int8_t *input, int8_t *plane)
{
    const int32_t height = (tile->rows - 1) * window->stride_height + (window->kernel_height - 1) * window->dilation_height + 1;
    const int32_t width = (tile->columns - 1) * window->stride_width + (window->kernel_width - 1) * window->dilation_width + 1;
    const int32_t top = y * window->stride_height - window->padding_top;
    const int32_t left = x * window->stride_width - window->padding_left;
    const int32_t before = left >= 0 ? 0 : -left < width ? -left : width;
    const int32_t inside = left + width < window->input_width ? width - before : window->input_width - left - before;
    const int8x16_t fill = vdupq_n_s8(fill_byte);

    for (int32_t row = top; row < top + height; row++) {
        const int8_t *from = input + (row * window->input_width + left + before) * window->input_channels + lanes->first;

        if (row < 0 || row >= window->input_height || inside <= 0) {
            ew_fill_pixels(&plane, width, fill);
            continue;
        }
        ew_fill_pixels(&plane, before, fill);
        if (lanes->spread) {
            for (int32_t count = inside; count > 0; count--) {
                vstrbq_s8(plane, vldrbq_gather_offset_z_s8(from, lanes->from, lanes->active));
                from += window->input_channels;
                plane += 16;
            }
        } else {
            const int32_t step = window->input_channels;

            for (int32_t count = inside; count > 0; count--) {
                vstrbq_s8(plane, vldrbq_z_s8(from, lanes->active));
                from += step;
                plane += 16;
            }
        }
        ew_fill_pixels(&plane, width - before - inside, fill);
    }
    return 16 * width;
}

#endif
