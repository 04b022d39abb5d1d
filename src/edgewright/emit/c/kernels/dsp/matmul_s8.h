/* Products of matrices, both computed at run time, with the DSP instructions: int8 inputs and output. */
#ifndef EW_MATMUL_S8_H
#define EW_MATMUL_S8_H

#include "kernel.h"
#include "multiply_add.h"
#include "requantize_within.h"
#include "simd.h"

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

/* Bytes 0 and 2 of a word, and bytes 1 and 3, as halves, each with a half of `offset` added. */
static inline int32_t ew_even_plus(int32_t word, int32_t offset)
{
    return (int32_t)__sxtab16(offset, word);
}

static inline int32_t ew_odd_plus(int32_t word, int32_t offset)
{
#if defined(__ARM_FEATURE_DSP)
    int32_t halves;

    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(halves) : "r"(offset), "r"(word));
    return halves;
#else
    return (int32_t)__sxtab16(offset, (int32_t)((uint32_t)word >> 8 | (uint32_t)word << 24));
#endif
}

/* Rows `a` and columns `b` of a block, and what is added to the bytes of each: the negatives of their zero points, in both halves. */
struct ew_matmul_block {
    const int8_t *a[2], *b[2];
    int32_t plus_a, plus_b;
};

/* Two rows by two columns, whose neighbours along the depth lie side by side: `fours` times four steps. */
EW_KERNEL void ew_multiply_along(const struct ew_matmul_block *block, int32_t fours, int32_t sums[2][4])
{
    const int8_t *a0 = block->a[0], *a1 = block->a[1], *b0 = block->b[0], *b1 = block->b[1];
    const int8_t *const end = a0 + 4 * fours;
    const int32_t plus_a = block->plus_a, plus_b = block->plus_b;
    int32_t s00 = 0, s01 = 0, s10 = 0, s11 = 0;

    while (a0 != end) {
        int32_t p = ew_load(a0), q = ew_load(a1), x = ew_load(b0), y = ew_load(b1);
        const int32_t p_even = ew_even_plus(p, plus_a), q_even = ew_even_plus(q, plus_a);
        const int32_t x_even = ew_even_plus(x, plus_b), y_even = ew_even_plus(y, plus_b);

        a0 += 4;
        a1 += 4;
        b0 += 4;
        b1 += 4;
        s00 = ew_dot(p_even, x_even, s00);
        s01 = ew_dot(p_even, y_even, s01);
        s10 = ew_dot(q_even, x_even, s10);
        s11 = ew_dot(q_even, y_even, s11);
        p = ew_odd_plus(p, plus_a);
        q = ew_odd_plus(q, plus_a);
        x = ew_odd_plus(x, plus_b);
        y = ew_odd_plus(y, plus_b);
        s00 = ew_dot(p, x, s00);
        s01 = ew_dot(p, y, s01);
        s10 = ew_dot(q, x, s10);
        s11 = ew_dot(q, y, s11);
    }
    sums[0][0] = s00;
    sums[0][1] = s01;
    sums[1][0] = s10;
    sums[1][1] = s11;
}

/* sums[i][j] += a[i] * bytes j of the two words, of which the first goes with the lower half of a[i] and the second with the upper one. */
EW_INLINE void ew_multiply_fours(int32_t a0, int32_t a1, int32_t first, int32_t second, int32_t plus, int32_t sums[8])
{
    const int32_t x = ew_even_plus(first, plus), y = ew_even_plus(second, plus);
    const int32_t z = ew_odd_plus(first, plus), w = ew_odd_plus(second, plus);
    const int32_t b0 = (int32_t)(((uint32_t)x & 0xffffu) | (uint32_t)y << 16), b1 = (int32_t)(((uint32_t)z & 0xffffu) | (uint32_t)w << 16);
    const int32_t b2 = (int32_t)(((uint32_t)y & 0xffff0000u) | (uint32_t)x >> 16), b3 = (int32_t)(((uint32_t)w & 0xffff0000u) | (uint32_t)z >> 16);

    sums[0] = ew_dot(a0, b0, sums[0]);
    sums[1] = ew_dot(a0, b1, sums[1]);
    sums[2] = ew_dot(a0, b2, sums[2]);
    sums[3] = ew_dot(a0, b3, sums[3]);
    sums[4] = ew_dot(a1, b0, sums[4]);
    sums[5] = ew_dot(a1, b1, sums[5]);
    sums[6] = ew_dot(a1, b2, sums[6]);
    sums[7] = ew_dot(a1, b3, sums[7]);
}

/* Two rows by four columns that lie side by side, whose neighbours along the depth are `down` apart: `fours` times four steps. Of four rows of
 * the second factor, 0 is paired with 2 and 1 with 3, as the bytes of a word of the first factor are. */
EW_KERNEL void ew_multiply_down(const struct ew_matmul_block *block, int32_t fours, int32_t down, int32_t sums[2][4])
{
    const int8_t *a0 = block->a[0], *a1 = block->a[1], *b = block->b[0];
    const int8_t *const end = a0 + 4 * fours;
    const int32_t plus_a = block->plus_a, plus_b = block->plus_b;
    int32_t s[8] = {0, 0, 0, 0, 0, 0, 0, 0};

    while (a0 != end) {
        const int32_t p = ew_load(a0), q = ew_load(a1);
        const int8_t *const next = b + down;

        ew_multiply_fours(ew_even_plus(p, plus_a), ew_even_plus(q, plus_a), ew_load(b), ew_load(b + 2 * down), plus_b, s);
        ew_multiply_fours(ew_odd_plus(p, plus_a), ew_odd_plus(q, plus_a), ew_load(next), ew_load(next + 2 * down), plus_b, s);
        a0 += 4;
        a1 += 4;
        b += 4 * down;
    }
    memcpy(sums, s, sizeof s);
}

/* What is left of `count` sums where four does not divide the depth, one step after the other from `k` on. */
static inline void ew_matmul_rest(const struct ew_matmul_s8 *layer, const int8_t *row, const int8_t *column, int32_t k, int32_t count, int32_t *sums)
{
    for (int32_t j = 0; j < count; j++) {
        const int8_t *b = column + k * layer->second_down;

        for (int32_t at = k; at < layer->depth; at++) {
            sums[j] = ew_multiply_add(sums[j], row[at] - layer->first_zero_point, *b - layer->second_zero_point);
            b += layer->second_down;
        }
        column += layer->second_across;
    }
}

static inline void ew_matmul_put(const struct ew_matmul_s8 *layer, const int32_t *sums, int32_t count, int8_t *output)
{
    const struct ew_bounds bounds = {layer->output_zero_point, layer->output_min, layer->output_max};
    const int32_t multiplier = layer->output_multiplier, shift = layer->output_shift;
    const int8_t *const end = output + count;

    if (shift < 0 && bounds.low == -128 && bounds.high == 127) {
        do {
            *output++ = (int8_t)ew_rescale(*sums++, (int32_t)((uint32_t)multiplier << 1), -1 - shift, 2 * bounds.zero_point + 1);
        } while (output != end);
    } else {
        do {
            *output++ = ew_requantize_within(*sums++, multiplier, shift, &bounds);
        } while (output != end);
    }
}

/* `many` rows of the output: two, or one, which is computed twice. */
static inline void ew_matmul_rows(const struct ew_matmul_s8 *layer, const int8_t *first, const int8_t *second, int8_t *output, int32_t many)
{
    const int32_t depth = layer->depth, fours = depth / 4, across = layer->second_across;
    const int32_t wide = layer->second_down == 1 ? 2 : 4;
    struct ew_matmul_block block = {{first, first + (many - 1) * depth},
                                    {second, second},
                                    ew_halves(-layer->first_zero_point, -layer->first_zero_point),
                                    ew_halves(-layer->second_zero_point, -layer->second_zero_point)};

    for (int32_t column = 0, count; column < layer->columns; column += count) {
        int32_t sums[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
        int32_t k = 4 * fours;

        count = layer->columns - column < wide ? layer->columns - column : wide;
        block.b[0] = second + column * across;
        if (wide == 2) {
            block.b[1] = block.b[0] + (count - 1) * across;
            ew_multiply_along(&block, fours, sums);
        } else if (count == 4) {
            ew_multiply_down(&block, fours, layer->second_down, sums);
        } else {
            k = 0;
        }
        for (int32_t i = 0; i < many; i++) {
            if (k < depth) {
                ew_matmul_rest(layer, block.a[i], block.b[0], k, count, sums[i]);
            }
            ew_matmul_put(layer, sums[i], count, output + i * layer->columns + column);
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
        int32_t row = 0;

        for (int32_t many; row < layer->rows; row += many) {
            many = layer->rows - row >= 2 ? 2 : 1;
            ew_matmul_rows(layer, a, b, output, many);
            a += many * layer->depth;
            output += many * layer->columns;
        }
    }
}

#endif
