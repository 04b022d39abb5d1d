/* From real numbers to int16. */
#ifndef EW_QUANTIZE_F32_S16_H
#define EW_QUANTIZE_F32_S16_H

#include <stdint.h>

#include "kernel.h"

struct ew_quantize_f32_s16 {
    int32_t count;
    float scale;
};

/* input / scale, to the nearest integer (halves away from zero), held within int16. Not a number gives -32768. */
EW_KERNEL void ew_quantize_f32_s16(const struct ew_quantize_f32_s16 *layer, const float *restrict input, int16_t *restrict output)
{
    for (int32_t i = 0; i < layer->count; i++) {
        const float steps = input[i] / layer->scale;
        int32_t x = -32768;

        if (steps >= 65536.0f) {
            x = 32767;
        } else if (steps > -65536.0f) {
            const int32_t whole = (int32_t)steps;
            const float rest = steps - (float)whole;

            x = whole + (rest >= 0.5f) - (rest <= -0.5f);
        }
        output[i] = (int16_t)(x < -32768 ? -32768 : x > 32767 ? 32767 : x);
    }
}

#endif
