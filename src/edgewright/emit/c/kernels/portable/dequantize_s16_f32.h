/* From int16 to real numbers. */
#ifndef EW_DEQUANTIZE_S16_F32_H
#define EW_DEQUANTIZE_S16_F32_H

#include <stdint.h>

#include "kernel.h"

struct ew_dequantize_s16_f32 {
    int32_t count;
    float scale;
};

EW_KERNEL void ew_dequantize_s16_f32(const struct ew_dequantize_s16_f32 *layer, const int16_t *restrict input, float *restrict output)
{
    for (int32_t i = 0; i < layer->count; i++) {
        output[i] = (float)input[i] * layer->scale;
    }
}

#endif
