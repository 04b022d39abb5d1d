/* The part of a picture that an iteration of a tiled loop works on. */
#ifndef EW_PART_H
#define EW_PART_H

#include <stdint.h>
#include <string.h>

#include "kernel.h"

/* In strip s and band b: `rows` from row_step * s + row_start on, `columns` from column_step * b + column_start on. They may lie outside of
 * the picture of `height` x `width` pixels, each of `pixel` bytes. */
struct ew_part {
    int32_t height, width, pixel;
    int32_t rows, columns;
    int32_t row_step, row_start, column_step, column_start;
};

/* Bytes of a row of the tile that lie before the picture, in it, and after it; and where those in it begin in a row of the picture. */
struct ew_part_row {
    int32_t before, inside, after, from;
};

static inline struct ew_part_row ew_part_row(const struct ew_part *tile, int32_t band)
{
    const int32_t first = tile->column_step * band + tile->column_start;
    const int32_t low = first > 0 ? first : 0;
    const int32_t end = first + tile->columns < tile->width ? first + tile->columns : tile->width;
    const int32_t inside = end > low ? end - low : 0;
    const int32_t before = low - first < tile->columns ? low - first : tile->columns;

    return (struct ew_part_row){before * tile->pixel, inside * tile->pixel, (tile->columns - before - inside) * tile->pixel, low * tile->pixel};
}

static inline int ew_part_has(const struct ew_part *tile, int32_t row)
{
    return row >= 0 && row < tile->height;
}

#endif
