/* Rectifier with a slope below zero for each channel: int16. */
#ifndef EW_PRELU_S16_H
#define EW_PRELU_S16_H

#include "clamp_16.h"
#include "kernel.h"
#include "requantize.h"

/* slopes: one int8 a channel, minus their zero point. */
struct ew_prelu_s16 {
    int32_t positions, channels;
    int32_t identity_multiplier, identity_shift, slope_multiplier, slope_shift;
    const int16_t *slopes;
};

/* `output` may be `input`. */
EW_KERNEL void ew_prelu_s16(const struct ew_prelu_s16 *layer, const int16_t *input, int16_t *output)
{
    for (int32_t position = 0; position < layer->positions; position++) {
        for (int32_t channel = 0; channel < layer->channels; channel++) {
            const int32_t x = *input++;
            const int32_t scaled = x >= 0 ? ew_requantize(x, layer->identity_multiplier, layer->identity_shift)
                                          : ew_requantize(x * layer->slopes[channel], layer->slope_multiplier, layer->slope_shift);

            *output++ = ew_clamp_16(scaled, -32768, 32767);
        }
    }
}

#endif
