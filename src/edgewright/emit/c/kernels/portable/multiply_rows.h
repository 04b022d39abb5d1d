/* All rows of weights with two columns of inputs. */
#ifndef EW_MULTIPLY_ROWS_H
#define EW_MULTIPLY_ROWS_H

#include "multiply_4x2.h"
#include "requantize_within.h"
#include "rescale_sum.h"

/* How the output channels of a layer are rescaled. `simple`: the bounds are those of int8. */
struct ew_output {
    const int32_t *bias, *multiplier;
    const int8_t *shift;
    int32_t simple;
    struct ew_bounds bounds;
};

/* Two columns of bytes, and how far apart in the output their results are. */
struct ew_columns {
    const int8_t *first, *second;
    int32_t length, step;
};

/* Output channels `channel` ... `last - 1`: blocks of four rows as ew_multiply_4x2 takes them, then the rows that are left over, one after the
 * other. `output`: where the results for the first column go. Returns the end of the weights. */
EW_KERNEL const int8_t *ew_multiply_rows(const struct ew_output *layer, const int8_t *weights, const struct ew_columns *columns,
                                         int32_t channel, int32_t last, int8_t *output)
{
    while (channel < last) {
        const int32_t rows = last - channel >= 4 ? 4 : 1;
        int32_t sums[8];

        for (int32_t row = 0; row < rows; row++) {
            sums[2 * row] = sums[2 * row + 1] = layer->bias[channel + row];
        }
        if (rows == 4) {
            weights = ew_multiply_4x2(weights, columns->first, columns->second, columns->length, sums);
        } else {
            for (int32_t k = 0; k < columns->length; k++) {
                sums[0] = ew_multiply_add(sums[0], *weights, columns->first[k]);
                sums[1] = ew_multiply_add(sums[1], *weights, columns->second[k]);
                weights++;
            }
        }
        for (int32_t row = 0; row < rows; row++) {
            const int32_t multiplier = layer->multiplier[channel];
            const int32_t shift = layer->shift[channel];

            if (layer->simple && shift < -1) {
                const int32_t offset = 2 * layer->bounds.zero_point + 1;

                output[channel] = ew_rescale_sum(sums[2 * row], multiplier, -1 - shift, offset);
                output[channel + columns->step] = ew_rescale_sum(sums[2 * row + 1], multiplier, -1 - shift, offset);
            } else {
                for (int32_t c = 0; c < 2; c++) {
                    output[channel + c * columns->step] = ew_requantize_within(sums[2 * row + c], multiplier, shift, &layer->bounds);
                }
            }
            channel++;
        }
    }
    return weights;
}

#endif
