/* Products of matrices, both computed at run time: int16 inputs and output. */
#ifndef EW_MATMUL_S16_H
#define EW_MATMUL_S16_H

#include "clamp_16.h"
#include "kernel.h"

/* `sizes` matrices along three axes, whose steps are in elements, 0 where a factor is broadcast. A product is rows x columns, summed over
 * `depth`. The first factor has its rows one after the other; neighbours of the second are `second_down` apart along the depth and
 * `second_across` along the columns. */
struct ew_matmul_s16 {
    int32_t sizes[3], first_step[3], second_step[3];
    int32_t rows, columns, depth;
    int32_t second_down, second_across;
    int32_t output_multiplier, output_shift; /* a factor of 15 bits: multiplier * 2**(shift - 15) */
};

EW_KERNEL void ew_matmul_s16(const struct ew_matmul_s16 *layer, const int16_t *first, const int16_t *second, int16_t *restrict output)
{
    const int32_t *sizes = layer->sizes;
    const int32_t right = 15 - layer->output_shift;

    for (int32_t outer = 0; outer < sizes[0] * sizes[1] * sizes[2]; outer++) {
        const int32_t i = outer / (sizes[1] * sizes[2]);
        const int32_t j = outer / sizes[2] % sizes[1];
        const int32_t k = outer % sizes[2];
        const int16_t *a = first + i * layer->first_step[0] + j * layer->first_step[1] + k * layer->first_step[2];
        const int16_t *b = second + i * layer->second_step[0] + j * layer->second_step[1] + k * layer->second_step[2];

        for (int32_t row = 0; row < layer->rows; row++) {
            for (int32_t column = 0; column < layer->columns; column++) {
                const int16_t *from = b + column * layer->second_across;
                int64_t sum = 0;

                for (int32_t n = 0; n < layer->depth; n++) {
                    sum += a[n] * *from;
                    from += layer->second_down;
                }
                sum = (sum * layer->output_multiplier + ((int64_t)1 << (right - 1))) >> right;
                *output++ = ew_clamp_16((int32_t)sum, -32768, 32767);
            }
            a += layer->depth;
        }
    }
}

#endif
