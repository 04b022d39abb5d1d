/* A convolution or dense layer of int16 activations for the DSP instructions. */
#ifndef EW_WIDE_LAYER_H
#define EW_WIDE_LAYER_H

#include "window.h"

/* Weights: a row for each output channel, of int8 or int16 as the kernel's name says. A sum times multiplier * 2**(shift - 15), rounded to the
 * nearest integer (halves up), is the output. Multipliers have 15 bits, shifts are from -31 to 7; abs(sum) < 2**47. */
struct ew_wide_layer {
    struct ew_window window;
    int32_t groups;
    int32_t direct; /* 1: a window of one pixel that sees every pixel once, in one group */
    int32_t narrow; /* 1: no sum, its bias included, leaves 32 bits, and every shift is -2 or less */
    int32_t output_min, output_max;
    const void *weights;
    const int32_t *bias;
    const int16_t *multiplier;
    const int8_t *shift;
};

static inline int16_t ew_wide_within(const struct ew_wide_layer *layer, int32_t x)
{
    x = x < layer->output_min ? layer->output_min : x;
    return (int16_t)(x > layer->output_max ? layer->output_max : x);
}

/* The output for `sum`, which has no bias yet, of a narrow layer: the high word of its product with the multiplier in the high half of a word is
 * the product with the multiplier without its lowest 16 bits. */
static inline int16_t ew_rescale_narrow(const struct ew_wide_layer *layer, int32_t channel, int32_t sum)
{
    const int32_t factor = (int32_t)layer->multiplier[channel] * 65536;
    const int32_t high = (int32_t)(((int64_t)(sum + layer->bias[channel]) * factor) >> 32);

    return ew_wide_within(layer, ((high >> (-2 - layer->shift[channel])) + 1) >> 1);
}

/* The same where the layer may not be narrow. */
static inline int16_t ew_rescale_wide(const struct ew_wide_layer *layer, int32_t channel, int64_t sum)
{
    const int32_t right = 15 - layer->shift[channel];
    const int64_t product = (sum + layer->bias[channel]) * layer->multiplier[channel];

    return ew_wide_within(layer, (int32_t)((product + ((int64_t)1 << (right - 1))) >> right));
}

#endif
