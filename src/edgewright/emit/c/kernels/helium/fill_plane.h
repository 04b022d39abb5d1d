/* The padded input of a tile of a depthwise convolution, sixteen channels of it. */
#ifndef EW_FILL_PLANE_H
#define EW_FILL_PLANE_H

#include <arm_mve.h>

#include "kernel.h"
#include "window.h"

/* A part of the input, which may reach beyond the picture. */
struct ew_tile {
    int32_t top, left, height, width;
};

/* Sixteen output channels: which there are, and the input channel of each, counted from `first`; `spread`: they are not neighbours. */
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

static inline int8_t *ew_fill_pixels(int8_t *to, int32_t count, int8x16_t fill)
{
    for (; count > 0; count--) {
        vstrbq_s8(to, fill);
        to += 16;
    }
    return to;
}

/* Writes sixteen bytes for each pixel of the tile. */
EW_KERNEL void ew_fill_plane(const struct ew_window *window, const struct ew_tile *tile, const struct ew_lanes *lanes, int8_t fill_byte,
                             const int8_t *restrict input, int8_t *restrict plane)
{
    const int32_t step = window->input_channels;
    const int32_t start = tile->left >= 0 ? tile->left : 0;
    const int32_t end = tile->left + tile->width < window->input_width ? tile->left + tile->width : window->input_width;
    const int8x16_t fill = vdupq_n_s8(fill_byte);
    const uint8x16_t spread = lanes->from;
    const mve_pred16_t active = lanes->active;

    for (int32_t row = tile->top; row < tile->top + tile->height; row++) {
        const int8_t *from = input + lanes->first + (row * window->input_width + start) * step;

        if (row < 0 || row >= window->input_height || start >= end) {
            plane = ew_fill_pixels(plane, tile->width, fill);
            continue;
        }
        plane = ew_fill_pixels(plane, start - tile->left, fill);
        if (lanes->spread) {
            for (int32_t count = end - start; count > 0; count--) {
                vstrbq_s8(plane, vldrbq_gather_offset_z_s8(from, spread, active));
                from += step;
                plane += 16;
            }
        } else {
            for (int32_t count = end - start; count > 0; count--) {
                vstrbq_s8(plane, vldrbq_z_s8(from, active));
                from += step;
                plane += 16;
            }
        }
        plane = ew_fill_pixels(plane, tile->left + tile->width - end, fill);
    }
}

#endif
