/* Hyperbolic tangent: int16 input, int16 output of scale 2**-15. */
#ifndef EW_TANH_S16_H
#define EW_TANH_S16_H

#include "gates.h"

/* (x * multiplier + 2**right / 2) >> right is x in units of 1 / 12288. table[n] is 65536 times the sigmoid of n / 24. */
struct ew_tanh_s16 {
    int32_t count, multiplier, right;
    const uint16_t *table;
};

/* `output` may be `input`. */
EW_KERNEL void ew_tanh_s16(const struct ew_tanh_s16 *layer, const int16_t *input, int16_t *output)
{
    const int32_t half = ((int32_t)1 << layer->right) >> 1;

    for (int32_t i = 0; i < layer->count; i++) {
        const int32_t x = (input[i] * layer->multiplier + half) >> layer->right;
        const uint32_t magnitude = (uint32_t)(x < 0 ? -x : x);
        const int32_t value = ew_interpolate(layer->table, magnitude, 8, 0xffff << 8);

        output[i] = (int16_t)((x >= 0 ? value - (1 << 23) + (1 << 7) : (1 << 23) - value + (1 << 7) - 1) >> 8);
    }
}

#endif
