/* Softmax over the last axis: int16 input, int16 output of scale 2**-15. */
#ifndef EW_SOFTMAX_S16_H
#define EW_SOFTMAX_S16_H

#include "clamp_16.h"
#include "kernel.h"
#include "leading_zeros.h"
#include "requantize.h"

/* `multiplier` and `shift` make 65535 of the largest difference that counts. Tables of 513 numbers in Q0.15: of exponentials up to 1, and of
 * 1 / (1 + x) for x from 0 to 1. */
struct ew_softmax_s16 {
    int32_t rows, depth;
    int32_t multiplier, shift;
    const int16_t *exponentials, *reciprocals;
};

/* The table at -32768 <= x <= 32767, interpolated. */
static inline int32_t ew_look_up_16(const int16_t *table, int32_t x)
{
    const int16_t *from = table + 256 + (x >> 7);

    return from[0] + (((from[1] - from[0]) * (x & 127) + 64) >> 7);
}

/* `output` may be `input`. */
EW_KERNEL void ew_softmax_s16(const struct ew_softmax_s16 *layer, const int16_t *input, int16_t *output)
{
    const int32_t depth = layer->depth;

    for (int32_t row = 0; row < layer->rows; row++) {
        int32_t most = -32768;
        uint32_t sum = 0;

        for (int32_t i = 0; i < depth; i++) {
            most = input[i] > most ? input[i] : most;
        }
        for (int32_t i = 0; i < depth; i++) {
            const int32_t place = ew_clamp_16(ew_requantize(input[i] - most, layer->multiplier, layer->shift) + 32767, -32768, 32767);
            const int32_t share = ew_look_up_16(layer->exponentials, place);

            output[i] = (int16_t)share;
            sum += (uint32_t)share;
        }
        /* The sum with its highest bit at place 16 is 1 + x in Q1.16. */
        const int32_t headroom = ew_leading_zeros(sum);
        const int32_t unit = (int32_t)((((uint64_t)sum << (headroom - 1)) + (1u << 13)) >> 14);
        const int32_t scale = ew_look_up_16(layer->reciprocals, ew_clamp_16(unit - 98304, -32768, 32767));
        const int32_t right = 31 - headroom;

        for (int32_t i = 0; i < depth; i++) {
            output[i] = ew_clamp_16((output[i] * scale + ((int32_t)1 << (right - 1))) >> right, 0, 32767);
        }
        input += depth;
        output += depth;
    }
}

#endif
