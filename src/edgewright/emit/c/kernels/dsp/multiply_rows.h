/* All rows of weights with four columns of inputs. */
#ifndef EW_MULTIPLY_ROWS_H
#define EW_MULTIPLY_ROWS_H

#include "kernel.h"
#include "multiply_pairs.h"

/* How the output channels of a layer are rescaled. `doubled` holds twice the multipliers, modulo 2**32. `simple`: every shift is negative,
 * and the bounds are those of int8. */
struct ew_output {
    const int32_t *bias;
    const int32_t *doubled;
    const int8_t *shift;
    int32_t simple;
    struct ew_bounds bounds;
};

/* Four columns as ew_multiply_pairs reads them, and where in the output their results begin. */
struct ew_columns {
    const int32_t *first, *end;
    int32_t at[4];
};

/* Output channels `channel` ... `last - 1`: pairs of rows as ew_multiply_pairs takes them, then an odd last row in its own order, padded
 * with zeros to a multiple of four. Returns the end of the weights. */
EW_KERNEL const int8_t *ew_multiply_rows(const struct ew_output *layer, const int8_t *weights, const struct ew_columns *columns,
                                         int32_t channel, int32_t last, int8_t *output)
{
    struct ew_pairs pairs = {.bias = layer->bias + channel,
                             .doubled = layer->doubled + channel,
                             .shift = layer->shift + channel,
                             .output = output + channel,
                             .last = output + channel + ((last - channel) & ~1),
                             .span = {columns->first, columns->end},
                             .how = {0, layer->simple},
                             .offset = 2 * layer->bounds.zero_point + 1,
                             .at = {columns->at[0], columns->at[1], columns->at[2], columns->at[3]},
                             .bounds = layer->bounds};

    weights = ew_multiply_pairs(&pairs, weights);
    if ((last - channel) % 2 != 0) {
        const int32_t multiplier = (int32_t)((uint32_t)*pairs.doubled >> 1);

        for (int c = 0; c < 4; c++) {
            const int8_t *w = weights;
            int32_t sum = *pairs.bias;

            for (const int32_t *x = columns->first + c; x < columns->end; x += 8) {
                const int32_t word = ew_load(w);

                sum = ew_dot(ew_odd(word), x[4], ew_dot(ew_even(word), x[0], sum));
                w += 4;
            }
            pairs.output[columns->at[c]] = ew_requantize_within(sum, multiplier, *pairs.shift, &layer->bounds);
        }
        weights += (columns->end - columns->first) / 2;
    }
    return weights;
}

#endif
