/* The places of a tile that lie outside of the picture, filled. */
#ifndef EW_FILL_BORDER_H
#define EW_FILL_BORDER_H

#include "part.h"

struct ew_fill_border {
    struct ew_part tile;
    int32_t fill;
};

EW_KERNEL void ew_fill_border(const struct ew_fill_border *layer, int8_t *to, int32_t strip, int32_t band)
{
    const struct ew_part *tile = &layer->tile;
    const struct ew_part_row row = ew_part_row(tile, band);
    const int32_t first = tile->row_step * strip + tile->row_start;

    if (first >= 0 && first + tile->rows <= tile->height && row.before + row.after == 0) {
        return;
    }
    for (int32_t y = first; y < first + tile->rows; y++) {
        if (ew_part_has(tile, y)) {
            memset(to, layer->fill, (size_t)row.before);
            memset(to + row.before + row.inside, layer->fill, (size_t)row.after);
        } else {
            memset(to, layer->fill, (size_t)(tile->columns * tile->pixel));
        }
        to += tile->columns * tile->pixel;
    }
}

#endif
