/* All rows of int8 weights with two columns of int16. */
#ifndef EW_MULTIPLY_WIDE_H
#define EW_MULTIPLY_WIDE_H

#include "kernel.h"
#include "simd.h"
#include "wide_layer.h"

/* Two columns, aligned to four, and how far apart in the output their results are; 0 where they are the same. `length`: a multiple of four. */
struct ew_wide_columns {
    const int16_t *first, *second;
    int32_t length, step;
};

/* So many products stay within a 32-bit sum, whatever they are. */
#define EW_WIDE_BLOCK 256

#if defined(EW_ASSEMBLY) && defined(__ARM_FEATURE_DSP)
/* Four steps of two rows and two columns: sixteen multiplications. */
#define EW_WIDE_ROW(first, second)                   \
    "ldr %[w], [%[weights]], #4\n\t"                 \
    "sxtb16 %[v], %[w]\n\t"                          \
    "sxtb16 %[w], %[w], ror #8\n\t"                  \
    "smlad " first ", %[v], %[x0], " first "\n\t"    \
    "smlad " second ", %[v], %[y0], " second "\n\t"  \
    "smlad " first ", %[w], %[x1], " first "\n\t"    \
    "smlad " second ", %[w], %[y1], " second "\n\t"
#define EW_WIDE_QUAD                      \
    "ldrd %[x0], %[x1], [%[x]], #8\n\t"   \
    "ldrd %[y0], %[y1], [%[y]], #8\n\t"   \
    EW_WIDE_ROW("%[s0]", "%[s1]") EW_WIDE_ROW("%[s2]", "%[s3]")
#endif

/* sums[2 * row + column] = `rows` (1 or 2) rows with both columns, `count` steps of each. */
EW_INLINE void ew_multiply_wide_block(const int8_t *weights, const int16_t *x, const int16_t *y, int32_t count, int rows, int32_t sums[4])
{
    const int16_t *const end = x + count;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;

#if defined(EW_WIDE_QUAD)
    if (rows == 2) {
        int32_t x0 = count, x1, y0, y1, w, v;

        __asm__ volatile("tst %[x0], #4\n\t"
                         "bne 2f\n\t"
                         "1:\n\t" EW_WIDE_QUAD "2:\n\t" EW_WIDE_QUAD "cmp %[x], %[end]\n\t"
                         "bne 1b\n\t"
                         : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [weights] "+r"(weights), [x] "+&r"(x), [y] "+&r"(y),
                           [x0] "+&r"(x0), [x1] "=&r"(x1), [y0] "=&r"(y0), [y1] "=&r"(y1), [w] "=&r"(w), [v] "=&r"(v)
                         : [end] "r"(end)
                         : "cc", "memory");
    }
#endif
    while (x != end) {
        const int32_t x0 = ew_load((const int8_t *)x), x1 = ew_load((const int8_t *)(x + 2));
        const int32_t y0 = ew_load((const int8_t *)y), y1 = ew_load((const int8_t *)(y + 2));
        int32_t word = ew_load(weights);

        s0 = ew_dot(ew_odd(word), x1, ew_dot(ew_even(word), x0, s0));
        s1 = ew_dot(ew_odd(word), y1, ew_dot(ew_even(word), y0, s1));
        if (rows == 2) {
            word = ew_load(weights + 4);
            s2 = ew_dot(ew_odd(word), x1, ew_dot(ew_even(word), x0, s2));
            s3 = ew_dot(ew_odd(word), y1, ew_dot(ew_even(word), y0, s3));
        }
        weights += 4 * rows;
        x += 4;
        y += 4;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* `rows` output channels from `channel` on. `output`: where the results of channel 0 for the first column go. */
EW_INLINE void ew_multiply_wide_rows(const struct ew_wide_layer *layer, const struct ew_wide_columns *columns, const int8_t *weights,
                                     int32_t channel, int rows, int16_t *output)
{
    const int32_t length = columns->length;
    int32_t parts[4];

    if (layer->narrow) {
        ew_multiply_wide_block(weights, columns->first, columns->second, length, rows, parts);
        for (int32_t row = 0; row < rows; row++) {
            output[channel + row + columns->step] = ew_rescale_narrow(layer, channel + row, parts[2 * row + 1]);
            output[channel + row] = ew_rescale_narrow(layer, channel + row, parts[2 * row]);
        }
    } else {
        int64_t sums[4] = {0, 0, 0, 0};

        for (int32_t k = 0, count; k < length; k += count) {
            count = length - k < EW_WIDE_BLOCK ? length - k : EW_WIDE_BLOCK;
            ew_multiply_wide_block(weights + k * rows, columns->first + k, columns->second + k, count, rows, parts);
            for (int32_t c = 0; c < 2 * rows; c++) {
                sums[c] += parts[c];
            }
        }
        for (int32_t row = 0; row < rows; row++) {
            output[channel + row + columns->step] = ew_rescale_wide(layer, channel + row, sums[2 * row + 1]);
            output[channel + row] = ew_rescale_wide(layer, channel + row, sums[2 * row]);
        }
    }
}

/* Output channels `channel` ... `last - 1`, whose weights follow from `weights` on: pairs of rows, of each four steps those of the first and those
 * of the second; then an odd last row. Rows are padded with zeros to fours, of each four stand the bytes 0, 2, 1, 3. Returns their end. */
EW_KERNEL const int8_t *ew_multiply_wide(const struct ew_wide_layer *layer, const struct ew_wide_columns *columns, const int8_t *weights,
                                         int32_t channel, int32_t last, int16_t *output)
{
    for (; channel + 1 < last; channel += 2) {
        ew_multiply_wide_rows(layer, columns, weights, channel, 2, output);
        weights += 2 * columns->length;
    }
    if (channel < last) {
        ew_multiply_wide_rows(layer, columns, weights, channel, 1, output);
        weights += columns->length;
    }
    return weights;
}

#endif
