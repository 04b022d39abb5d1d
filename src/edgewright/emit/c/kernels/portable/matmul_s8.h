/* Products of matrices, both computed at run time: int8 inputs and output. */
#ifndef EW_MATMUL_S8_H
#define EW_MATMUL_S8_H

#include "kernel.h"
#include "multiply_add.h"
#include "requantize_within.h"

/* `sizes` matrices along three axes, whose steps are in elements, 0 where a factor is broadcast. A product is rows x columns, summed over
 * `depth`. The first factor has its rows one after the other; neighbours of the second are `second_down` apart along the depth and
 * `second_across` along the columns. */
struct ew_matmul_s8 {
    int32_t sizes[3], first_step[3], second_step[3];
    int32_t rows, columns, depth;
    int32_t second_down, second_across;
    int32_t first_zero_point, second_zero_point;
    int32_t output_zero_point, output_multiplier, output_shift, output_min, output_max;
};

/* `many` (1 or 2) rows by `wide` (1 or 2) columns at once. */
EW_INLINE void ew_matmul_block(const struct ew_matmul_s8 *layer, const int8_t *first, const int8_t *second, int8_t *output, int32_t many,
                               int32_t wide)
{
    const struct ew_bounds bounds = {layer->output_zero_point, layer->output_min, layer->output_max};
    const int32_t depth = layer->depth, down = layer->second_down, across = layer->second_across;
    const int32_t first_zero_point = layer->first_zero_point, second_zero_point = layer->second_zero_point;
    int32_t sums[2][2] = {{0, 0}, {0, 0}};

    for (int32_t k = 0; k < depth; k++) {
        for (int32_t i = 0; i < many; i++) {
            const int32_t left = first[i * depth + k] - first_zero_point;

            for (int32_t j = 0; j < wide; j++) {
                sums[i][j] = ew_multiply_add(sums[i][j], left, second[j * across] - second_zero_point);
            }
        }
        second += down;
    }
    for (int32_t i = 0; i < many; i++) {
        for (int32_t j = 0; j < wide; j++) {
            output[i * layer->columns + j] =
                ew_requantize_within(sums[i][j], layer->output_multiplier, layer->output_shift, &bounds);
        }
    }
}

/* Two rows of the output, or one. */
EW_INLINE void ew_matmul_rows(const struct ew_matmul_s8 *layer, const int8_t *first, const int8_t *second, int8_t *output, int32_t many)
{
    int32_t column = 0;

    for (; column + 2 <= layer->columns; column += 2) {
        ew_matmul_block(layer, first, second + column * layer->second_across, output + column, many, 2);
    }
    if (column < layer->columns) {
        ew_matmul_block(layer, first, second + column * layer->second_across, output + column, many, 1);
    }
}

EW_KERNEL void ew_matmul_s8(const struct ew_matmul_s8 *layer, const int8_t *first, const int8_t *second, int8_t *restrict output)
{
    const int32_t *sizes = layer->sizes;

    for (int32_t outer = 0; outer < sizes[0] * sizes[1] * sizes[2]; outer++) {
        const int32_t i = outer / (sizes[1] * sizes[2]);
        const int32_t j = outer / sizes[2] % sizes[1];
        const int32_t k = outer % sizes[2];
        const int8_t *a = first + i * layer->first_step[0] + j * layer->first_step[1] + k * layer->first_step[2];
        const int8_t *b = second + i * layer->second_step[0] + j * layer->second_step[1] + k * layer->second_step[2];
        int32_t row = 0;

        for (; row + 2 <= layer->rows; row += 2) {
            ew_matmul_rows(layer, a, b, output, 2);
            a += 2 * layer->depth;
            output += 2 * layer->columns;
        }
        if (row < layer->rows) {
            ew_matmul_rows(layer, a, b, output, 1);
            output += layer->columns;
        }
    }
}

#endif
