/* Rows of a transposed two-dimensional convolution that see the same taps: int8 input, weights and output. */
#ifndef EW_TRANSPOSE_ROWS_S8_H
#define EW_TRANSPOSE_ROWS_S8_H

#include "conv2d_s8.h"
#include "kernel.h"

/* Each row is one of a convolution, whose window begins a row lower from one to the next: by its padding or, where it sees one pixel at a
 * time, by where the input begins. */
struct ew_transpose_rows_s8 {
    struct ew_conv2d_s8 row; /* the first of them */
    int32_t rows;
    int32_t lower;                   /* rows of padding less from one to the next */
    int32_t input_step, output_step; /* bytes from one to the next */
};

/* `workspace`: that of the convolution. */
EW_KERNEL void ew_transpose_rows_s8(const struct ew_transpose_rows_s8 *layer, const int8_t *input, int8_t *output, void *workspace)
{
    struct ew_conv2d_s8 row = layer->row;

    for (int32_t y = 0; y < layer->rows; y++) {
        ew_conv2d_s8(&row, input, output, workspace);
        row.window.padding_top -= layer->lower;
        input += layer->input_step;
        output += layer->output_step;
    }
}

#endif
