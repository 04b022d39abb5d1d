/* A depthwise convolution, whichever kernel computes it. */
#ifndef EW_DEPTHWISE_LAYER_H
#define EW_DEPTHWISE_LAYER_H

#include "window.h"

/* A layer may be laid out with height and width exchanged: positions are found by the strides in elements alone.
 * Weights: kernel_height * kernel_width bytes for each output channel; output channel c * multiplier + j comes from input
 * channel c. The bias holds -zero_point * sum(weights) of its channel. Kernels for the DSP instructions take twice the multiplier,
 * modulo 2**32. */
struct ew_depthwise_layer {
    struct ew_window window;
    int32_t input_row, input_column, output_row, output_column;
    int32_t strip; /* output rows that one filling of the plane serves */
    int32_t simple; /* 1: every shift is negative, and the bounds are those of int8 */
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

#endif
