/* Two-dimensional convolution: int16 input, weights and output. */
#ifndef EW_CONV2D_S16_W16_H
#define EW_CONV2D_S16_W16_H

#include "conv2d_wide.h"

EW_KERNEL void ew_conv2d_s16_w16(const struct ew_wide_layer *layer, const int16_t *restrict input, int16_t *restrict output,
                                 void *restrict workspace)
{
    ew_conv2d_wide(layer, input, output, workspace, 1);
}

#endif
