/* From real numbers to int8. */
#ifndef EW_QUANTIZE_F32_S8_H
#define EW_QUANTIZE_F32_S8_H

#include <stdint.h>

#include "kernel.h"

struct ew_quantize_f32_s8 {
    int32_t count, zero_point;
    float scale;
};

/* input / scale + zero_point, to the nearest integer (halves away from zero), held within int8. Not a number gives -128. */
EW_KERNEL void ew_quantize_f32_s8(const struct ew_quantize_f32_s8 *layer, const float *restrict input, int8_t *restrict output)
{
    for (int32_t i = 0; i < layer->count; i++) {
        const float steps = input[i] / layer->scale;
        int32_t x = -128;

        if (steps >= 512.0f) {
            x = 127;
        } else if (steps > -512.0f) {
            const int32_t whole = (int32_t)steps;
            const float rest = steps - (float)whole;

            x = whole + layer->zero_point + (rest >= 0.5f) - (rest <= -0.5f);
        }
        output[i] = (int8_t)(x < -128 ? -128 : x > 127 ? 127 : x);
    }
}

#endif
