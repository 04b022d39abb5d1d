/* Rectifier with a slope below zero for each channel: int8. */
#ifndef EW_PRELU_S8_H
#define EW_PRELU_S8_H

#include "clamp.h"
#include "kernel.h"
#include "requantize.h"

/* slopes: one int8 a channel, minus their zero point. */
struct ew_prelu_s8 {
    int32_t positions, channels;
    int32_t input_zero_point, output_zero_point;
    int32_t identity_multiplier, identity_shift, slope_multiplier, slope_shift;
    const int16_t *slopes;
};

/* `output` may be `input`. */
EW_KERNEL void ew_prelu_s8(const struct ew_prelu_s8 *layer, const int8_t *input, int8_t *output)
{
    for (int32_t position = 0; position < layer->positions; position++) {
        for (int32_t channel = 0; channel < layer->channels; channel++) {
            const int32_t x = *input++ - layer->input_zero_point;
            const int32_t scaled = x >= 0 ? ew_requantize(x, layer->identity_multiplier, layer->identity_shift)
                                          : ew_requantize(x * layer->slopes[channel], layer->slope_multiplier, layer->slope_shift);

            *output++ = ew_clamp(scaled, layer->output_zero_point, -128, 127);
        }
    }
}

#endif
