/* A tile into its picture; what lies outside of that is dropped. */
#ifndef EW_PUT_TILE_H
#define EW_PUT_TILE_H

#include "part.h"

struct ew_put_tile {
    struct ew_part tile;
};

EW_KERNEL void ew_put_tile(const struct ew_put_tile *layer, const int8_t *from, int8_t *picture, int32_t strip, int32_t band)
{
    const struct ew_part *tile = &layer->tile;
    const struct ew_part_row row = ew_part_row(tile, band);
    const int32_t first = tile->row_step * strip + tile->row_start;

    for (int32_t y = first; y < first + tile->rows; y++) {
        if (ew_part_has(tile, y)) {
            memcpy(picture + y * tile->width * tile->pixel + row.from, from + row.before, (size_t)row.inside);
        }
        from += tile->columns * tile->pixel;
    }
}

#endif
