/* Products of matrices, both computed at run time, with Helium: int8 inputs and output. */
#ifndef EW_MATMUL_S8_H
#define EW_MATMUL_S8_H

#include "rescale.h"

/* `sizes` matrices along three axes, whose steps are in elements, 0 where a factor is broadcast. A product is rows x columns, summed over
 * `depth`. The first factor has its rows one after the other; neighbours of the second are `second_down` apart along the depth and
 * `second_across` along the columns; one of the two is 1. */
struct ew_matmul_s8 {
    int32_t sizes[3], first_step[3], second_step[3];
    int32_t rows, columns, depth;
    int32_t second_down, second_across;
    int32_t first_zero_point, second_zero_point;
    int32_t output_zero_point, output_multiplier, output_shift, output_min, output_max;
};

/* sums[i] = the products of `length` bytes of a row with column i; sums[4]: the sum of the row. */
static inline void ew_multiply_4_columns(const int8_t *row, const int8_t *const columns[4], int32_t length, int32_t sums[5])
{
    const int8_t *w0 = columns[0], *w1 = columns[1], *w2 = columns[2], *w3 = columns[3];
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, all = 0;

#if !defined(__clang__)
    __asm__ volatile("dlstp.8 lr, %[length]\n\t"
                     "1:\n\t"
                     "vldrb.8 q0, [%[x]], #16\n\t"
                     "vldrb.8 q1, [%[w0]], #16\n\t"
                     "vmladava.s8 %[s0], q0, q1\n\t"
                     "vldrb.8 q2, [%[w1]], #16\n\t"
                     "vmladava.s8 %[s1], q0, q2\n\t"
                     "vldrb.8 q3, [%[w2]], #16\n\t"
                     "vmladava.s8 %[s2], q0, q3\n\t"
                     "vldrb.8 q1, [%[w3]], #16\n\t"
                     "vmladava.s8 %[s3], q0, q1\n\t"
                     "vaddva.s8 %[all], q0\n\t"
                     "letp lr, 1b\n\t"
                     : [x] "+r"(row), [w0] "+r"(w0), [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3), [s0] "+Te"(s0), [s1] "+Te"(s1),
                       [s2] "+Te"(s2), [s3] "+Te"(s3), [all] "+Te"(all)
                     : [length] "r"(length)
                     : "lr", "q0", "q1", "q2", "q3", "memory");
#else
    for (int32_t k = 0; k < length; k += 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)(length - k));
        const int8x16_t x = vldrbq_z_s8(row + k, lanes);

        s0 = vmladavaq_s8(s0, x, vldrbq_z_s8(w0 + k, lanes));
        s1 = vmladavaq_s8(s1, x, vldrbq_z_s8(w1 + k, lanes));
        s2 = vmladavaq_s8(s2, x, vldrbq_z_s8(w2 + k, lanes));
        s3 = vmladavaq_s8(s3, x, vldrbq_z_s8(w3 + k, lanes));
        all = vaddvaq_s8(all, x);
    }
#endif
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
    sums[4] = all;
}

static inline int32_t ew_sum_of(const int8_t *from, int32_t length)
{
    int32_t sum = 0;

    for (int32_t k = 0; k < length; k += 16) {
        sum = vaddvaq_s8(sum, vldrbq_z_s8(from + k, vctp8q((uint32_t)(length - k))));
    }
    return sum;
}

static inline void ew_matmul_put(const struct ew_matmul_s8 *layer, int32x4_t x, int8_t *output, mve_pred16_t lanes)
{
    x = ew_rescale_4(x, vdupq_n_s32(layer->output_multiplier), vdupq_n_s32(layer->output_shift), layer->output_shift < 0 ? EW_AWAY : EW_ANY);
    x = vqaddq_n_s32(x, layer->output_zero_point);
    x = vminq_s32(vmaxq_s32(x, vdupq_n_s32(layer->output_min)), vdupq_n_s32(layer->output_max));
    vstrbq_p_s32(output, x, lanes);
}

/* Four columns, of which `count` are there, whose neighbours along the depth lie side by side: row by row. */
static inline void ew_matmul_along(const struct ew_matmul_s8 *layer, const int8_t *first, const int8_t *second, int8_t *output, int32_t count)
{
    const int32_t depth = layer->depth;
    const mve_pred16_t lanes = vctp32q((uint32_t)count);
    const int8_t *columns[4];
    int32_t offsets[4];

    for (int32_t j = 0; j < 4; j++) {
        columns[j] = second + (j < count ? j : 0) * layer->second_across;
        offsets[j] = layer->first_zero_point * (depth * layer->second_zero_point - ew_sum_of(columns[j], depth));
    }
    const int32x4_t offset = vldrwq_s32(offsets);

    for (int32_t row = 0; row < layer->rows; row++) {
        int32_t sums[5];

        ew_multiply_4_columns(first, columns, depth, sums);
        ew_matmul_put(layer, vaddq_n_s32(vaddq_s32(vldrwq_s32(sums), offset), -layer->second_zero_point * sums[4]), output, lanes);
        first += depth;
        output += layer->columns;
    }
}

/* Four columns that lie side by side, of which `count` are there; four rows at a time, those that are missing the last one again. */
static inline void ew_matmul_down(const struct ew_matmul_s8 *layer, const int8_t *first, const int8_t *second, int8_t *output, int32_t count)
{
    const int32_t depth = layer->depth, zero_point = layer->first_zero_point;
    const mve_pred16_t lanes = vctp32q((uint32_t)count);

    for (int32_t row = 0; row < layer->rows; row += 4) {
        const int32_t last = layer->rows - 1 - row;
        const int8_t *a0 = first + row * depth, *a1 = a0 + (last < 1 ? last : 1) * depth, *a2 = a0 + (last < 2 ? last : 2) * depth;
        const int8_t *a3 = a0 + (last < 3 ? last : 3) * depth, *b = second;
        int32x4_t s0 = vdupq_n_s32(0), s1 = s0, s2 = s0, s3 = s0;

        for (int32_t k = 0; k < depth; k++) {
            const int32x4_t x = vsubq_n_s32(vldrbq_z_s32(b, lanes), layer->second_zero_point);

            s0 = vmlaq_n_s32(s0, x, *a0++ - zero_point);
            s1 = vmlaq_n_s32(s1, x, *a1++ - zero_point);
            s2 = vmlaq_n_s32(s2, x, *a2++ - zero_point);
            s3 = vmlaq_n_s32(s3, x, *a3++ - zero_point);
            b += layer->second_down;
        }
        int8_t *const to = output + row * layer->columns;

        ew_matmul_put(layer, s0, to, lanes);
        if (last >= 1) {
            ew_matmul_put(layer, s1, to + layer->columns, lanes);
        }
        if (last >= 2) {
            ew_matmul_put(layer, s2, to + 2 * layer->columns, lanes);
        }
        if (last >= 3) {
            ew_matmul_put(layer, s3, to + 3 * layer->columns, lanes);
        }
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

        for (int32_t column = 0; column < layer->columns; column += 4) {
            const int32_t count = layer->columns - column < 4 ? layer->columns - column : 4;
            const int8_t *const from = b + column * layer->second_across;

            if (layer->second_down == 1) {
                ew_matmul_along(layer, a, from, output + column, count);
            } else {
                ew_matmul_down(layer, a, from, output + column, count);
            }
        }
        output += layer->rows * layer->columns;
    }
}

#endif
