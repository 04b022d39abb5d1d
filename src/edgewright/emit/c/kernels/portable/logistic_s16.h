/* Logistic function: int16 input, int16 output of scale 2**-15. */
#ifndef EW_LOGISTIC_S16_H
#define EW_LOGISTIC_S16_H

#include "gates.h"

/* (x * multiplier + 2**right / 2) >> right is x in units of 1 / 12288. table[n] is 65536 times the sigmoid of n / 24. */
struct ew_logistic_s16 {
    int32_t count, multiplier, right;
    const uint16_t *table;
};

/* `output` may be `input`. */
EW_KERNEL void ew_logistic_s16(const struct ew_logistic_s16 *layer, const int16_t *input, int16_t *output)
{
    const int32_t half = ((int32_t)1 << layer->right) >> 1;

    for (int32_t i = 0; i < layer->count; i++) {
        const int32_t x = (input[i] * layer->multiplier + half) >> layer->right;
        const uint32_t magnitude = (uint32_t)(x < 0 ? -x : x);
        const int32_t value = ew_interpolate(layer->table, magnitude, 9, 0x7fff << 10);

        output[i] = (int16_t)((x >= 0 ? value + (1 << 9) : (1 << 25) - value + (1 << 9) - 1) >> 10);
    }
}

#endif
