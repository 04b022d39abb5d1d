/* Depthwise two-dimensional convolution: int16 input, weights and output. */
#ifndef EW_DEPTHWISE_CONV2D_S16_W16_H
#define EW_DEPTHWISE_CONV2D_S16_W16_H

#include "depthwise_wide.h"

EW_KERNEL void ew_depthwise_conv2d_s16_w16(const struct ew_wide_layer *layer, const int16_t *restrict input, int16_t *restrict output)
{
    ew_depthwise_wide(layer, input, output, 1);
}

#endif
