/* A part of a picture, places outside of it filled. */
#ifndef EW_TAKE_TILE_H
#define EW_TAKE_TILE_H

#include "part.h"

struct ew_take_tile {
    struct ew_part tile;
    int32_t fill;
};

EW_KERNEL void ew_take_tile(const struct ew_take_tile *layer, const int8_t *picture, int8_t *to, int32_t strip, int32_t band)
{
    const struct ew_part *tile = &layer->tile;
    const struct ew_part_row row = ew_part_row(tile, band);
    const int32_t first = tile->row_step * strip + tile->row_start;

    for (int32_t y = first; y < first + tile->rows; y++) {
        if (ew_part_has(tile, y)) {
            memset(to, layer->fill, (size_t)row.before);
            memcpy(to + row.before, picture + y * tile->width * tile->pixel + row.from, (size_t)row.inside);
            memset(to + row.before + row.inside, layer->fill, (size_t)row.after);
        } else {
            memset(to, layer->fill, (size_t)(tile->columns * tile->pixel));
        }
        to += tile->columns * tile->pixel;
    }
}

#endif
