/* From one grid to another, with a slope of its own below zero: int16 to int8. */
#ifndef EW_REQUANTIZE_S16_S8_H
#define EW_REQUANTIZE_S16_S8_H

#include "kernel.h"
#include "requantize.h"

/* What lies below zero is scaled by `slope`, negated where `slope_sign` is -1. */
struct ew_requantize_s16_s8 {
    int32_t count, input_zero_point, output_zero_point;
    int32_t identity_multiplier, identity_shift, slope_multiplier, slope_shift, slope_sign;
    int32_t output_min, output_max;
};

EW_KERNEL void ew_requantize_s16_s8(const struct ew_requantize_s16_s8 *layer, const int16_t *input, int8_t *output)
{
    for (int32_t i = 0; i < layer->count; i++) {
        const int32_t x = input[i] - layer->input_zero_point;
        const int32_t scaled = x >= 0 ? ew_requantize(x, layer->identity_multiplier, layer->identity_shift)
                                      : layer->slope_sign * ew_requantize(x, layer->slope_multiplier, layer->slope_shift);
        const int32_t y = scaled + layer->output_zero_point;

        output[i] = (int8_t)(y < layer->output_min ? layer->output_min : y > layer->output_max ? layer->output_max : y);
    }
}

#endif
