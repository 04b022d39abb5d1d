/* Plain C; long enough that the compiler leaves a loop. */
#ifndef TINY_DENSE_H
#define TINY_DENSE_H

#include <stddef.h>
#include <stdint.h>

static void tiny_dense(const int8_t *input, const int8_t *weights, const int16_t *bias, int32_t *output, size_t columns, size_t rows)
{
    for (size_t row = 0; row < rows; ++row) {
        int32_t sum = bias[row];
        for (size_t column = 0; column < columns; ++column) {
            sum += (int32_t)input[column] * (int32_t)weights[row * columns + column];
        }
        output[row] = sum;
    }
}

#endif
