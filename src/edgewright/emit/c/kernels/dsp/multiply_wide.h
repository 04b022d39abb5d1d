/* All rows of int8 weights with two columns of int16. */
#ifndef EW_MULTIPLY_WIDE_H
#define EW_MULTIPLY_WIDE_H

#include "kernel.h"
#include "simd.h"
#include "wide_layer.h"

/* Two columns, and how far apart in the output their results are; 0 where they are the same. `length`: a multiple of four. */
struct ew_wide_columns {
    const int16_t *first, *second;
    int32_t length, step;
};

/* So many products stay within a 32-bit sum, whatever they are. */
#define EW_WIDE_BLOCK 256

/* sums[i] += row 0 with both columns, row 1 with both. `pairs`: whether there is a row 1. */
EW_INLINE void ew_multiply_wide_block(const int8_t *weights, int32_t row_bytes, const int16_t *x, const int16_t *y, int32_t count, int pairs,
                                      int32_t sums[4])
{
    const int8_t *v = weights + row_bytes;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;

    for (const int8_t *w = weights, *const end = weights + count; w != end; w += 4) {
        const int32_t x0 = ew_load((const int8_t *)x), x1 = ew_load((const int8_t *)(x + 2));
        const int32_t y0 = ew_load((const int8_t *)y), y1 = ew_load((const int8_t *)(y + 2));
        int32_t word = ew_load(w);
        int32_t low = ew_even(word), high = ew_odd(word);

        s0 = ew_dot(low, x0, s0);
        s1 = ew_dot(low, y0, s1);
        s0 = ew_dot(high, x1, s0);
        s1 = ew_dot(high, y1, s1);
        if (pairs) {
            word = ew_load(v);
            low = ew_even(word);
            high = ew_odd(word);
            s2 = ew_dot(low, x0, s2);
            s3 = ew_dot(low, y0, s3);
            s2 = ew_dot(high, x1, s2);
            s3 = ew_dot(high, y1, s3);
            v += 4;
        }
        x += 4;
        y += 4;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* Output channels `channel` ... `last - 1`. `output`: where the results for the first column go. */
EW_KERNEL void ew_multiply_wide(const struct ew_wide_layer *layer, const struct ew_wide_columns *columns, int32_t channel, int32_t last,
                                int16_t *output)
{
    const int32_t length = columns->length;

    for (; channel < last; channel += 2) {
        const int8_t *weights = (const int8_t *)layer->weights + channel * length;
        const int pairs = channel + 1 < last;
        int64_t sums[4] = {0, 0, 0, 0};

        for (int32_t k = 0; k < length;) {
            const int32_t count = layer->narrow || length - k < EW_WIDE_BLOCK ? length - k : EW_WIDE_BLOCK;
            int32_t parts[4];

            if (pairs) {
                ew_multiply_wide_block(weights + k, length, columns->first + k, columns->second + k, count, 1, parts);
            } else {
                ew_multiply_wide_block(weights + k, length, columns->first + k, columns->second + k, count, 0, parts);
            }
            for (int c = 0; c < 4; c++) {
                sums[c] += parts[c];
            }
            k += count;
        }
        for (int c = 0; c < (pairs ? 2 : 1); c++) {
            output[channel + c + columns->step] = ew_rescale_wide(layer, channel + c, sums[2 * c + 1]);
            output[channel + c] = ew_rescale_wide(layer, channel + c, sums[2 * c]);
        }
    }
}

#endif
