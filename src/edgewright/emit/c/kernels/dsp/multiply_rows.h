/* All rows of weights with four columns of inputs. */
#ifndef EW_MULTIPLY_ROWS_H
#define EW_MULTIPLY_ROWS_H

#include "clamp.h"
#include "dot_2x4.h"
#include "kernel.h"
#include "requantize.h"
#include "store_pair.h"

/* How the output channels of a layer are rescaled. `doubled` holds twice the multipliers, modulo 2**32. `simple`: every shift is negative,
 * and the bounds are those of int8. */
struct ew_output {
    const int32_t *bias;
    const int32_t *doubled;
    const int8_t *shift;
    int32_t simple, zero_point, low, high;
};

/* The row that is left over, in its own order, padded with zeros to a multiple of four. */
EW_KERNEL void ew_multiply_last_row(const struct ew_output *layer, const int8_t *weights, const int32_t *columns, const int32_t *end,
                                    int32_t channel, int8_t *output, const int32_t at[4])
{
    const int32_t multiplier = (int32_t)((uint32_t)layer->doubled[channel] >> 1);

    for (int c = 0; c < 4; c++) {
        const int8_t *w = weights;
        int32_t sum = layer->bias[channel];

        for (const int32_t *x = columns + c; x < end; x += 8) {
            const int32_t word = ew_load(w);

            sum = ew_dot(ew_odd(word), x[4], ew_dot(ew_even(word), x[0], sum));
            w += 4;
        }
        output[at[c] + channel] = ew_clamp(ew_requantize(sum, multiplier, layer->shift[channel]), layer->zero_point, layer->low, layer->high);
    }
}

/* Output channels `channel` ... `last - 1`: pairs of rows as ew_dot_2x4 takes them, then an odd last one. The result for column c goes to
 * output[at[c] + channel]. Returns the end of the weights. */
EW_KERNEL const int8_t *ew_multiply_rows(const struct ew_output *layer, const int8_t *weights, const int32_t *columns, const int32_t *end,
                                         int32_t channel, int32_t last, int8_t *output, const int32_t at[4])
{
    struct ew_pair pair = {layer->doubled + channel, layer->shift + channel, 2 * layer->zero_point + 1};
    const int32_t *bias = layer->bias + channel;
    int8_t *out = output + channel;

    for (; out + 2 <= output + last; out += 2) {
        int32_t s[8];

        weights = ew_dot_2x4(weights, columns, end, bias, s);
        if (layer->simple) {
            ew_store_pair(&pair, s, out, at);
        } else {
            const int32_t sums[8] = {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]};

            for (int c = 0; c < 8; c++) {
                const int32_t multiplier = (int32_t)((uint32_t)pair.doubled[c / 4] >> 1);

                out[at[c % 4] + c / 4] = ew_clamp(ew_requantize(sums[c], multiplier, pair.shift[c / 4]), layer->zero_point, layer->low, layer->high);
            }
        }
        bias += 2;
        pair.doubled += 2;
        pair.shift += 2;
    }
    if (out < output + last) {
        ew_multiply_last_row(layer, weights, columns, end, last - 1, output, at);
        weights += (end - columns) / 2;
    }
    return weights;
}

#endif
