/* All rows of weights of a group with four columns of inputs. */
#ifndef EW_MULTIPLY_COLUMNS_H
#define EW_MULTIPLY_COLUMNS_H

#include "multiply_tile.h"
#include "rescale_tile.h"

/* Four columns of `length` bytes, `count` of them different; `output` is that of the first, and `step` leads to those of the next. */
struct ew_columns {
    const int8_t *from[4];
    int32_t length, count, step;
    int8_t *output;
};

/* `rows` output channels, in tiles of sixteen. Moves `rescaling` on to the next group, returns the end of the weights. */
EW_KERNEL const int8_t *ew_multiply_columns(struct ew_rescaling *rescaling, const int8_t *weights, const struct ew_columns *columns, int32_t rows)
{
    int8_t *output = columns->output;

    for (; rows > 0; rows -= 16) {
        const int32_t many = rows < 16 ? rows : 16;
        const int32_t entries = (many + 3) & ~3;
        int32_t sums[64];

        weights = ew_multiply_tile(weights, columns->from, columns->length, (many + 1) / 2, sums);
        ew_rescale_tile(rescaling, sums, many, columns->count, columns->step, output);
        rescaling->bias += entries;
        rescaling->multiplier += entries;
        rescaling->shift += entries;
        output += many;
    }
    return weights;
}

#endif
