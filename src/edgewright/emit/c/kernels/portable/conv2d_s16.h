/* Two-dimensional convolution: int16 input and output, int8 weights. */
#ifndef EW_CONV2D_S16_H
#define EW_CONV2D_S16_H

#include "conv2d_wide.h"

EW_KERNEL void ew_conv2d_s16(const struct ew_wide_layer *layer, const int16_t *restrict input, int16_t *restrict output, void *restrict workspace)
{
    ew_conv2d_wide(layer, input, output, workspace, 0);
}

#endif
