/* Images made larger or smaller by repeating or leaving out pixels; elements of any type. */
#ifndef EW_RESIZE_NEAREST_H
#define EW_RESIZE_NEAREST_H

#include <stdint.h>
#include <string.h>

#include "kernel.h"

/* rows[y], columns[x]: the input position that output position (y, x) copies; `pixel` bytes each. */
struct ew_resize_nearest {
    int32_t input_width, output_height, output_width, pixel;
    const uint16_t *rows, *columns;
};

EW_KERNEL void ew_resize_nearest(const struct ew_resize_nearest *layer, const void *restrict input, void *restrict output)
{
    char *to = output;

    for (int32_t y = 0; y < layer->output_height; y++) {
        const char *row = (const char *)input + layer->rows[y] * layer->input_width * layer->pixel;

        for (int32_t x = 0; x < layer->output_width; x++) {
            memcpy(to, row + layer->columns[x] * layer->pixel, (size_t)layer->pixel);
            to += layer->pixel;
        }
    }
}

#endif
