/* Softmax over the last axis: int8 input, int8 output of scale 1/256 and zero point -128. */
#ifndef EW_SOFTMAX_S8_H
#define EW_SOFTMAX_S8_H

#include "clamp.h"
#include "kernel.h"
#include "leading_zeros.h"
#include "one_over_one_plus.h"
#include "round_shift.h"

/* exponentials[d] is exp(-d * scale) in Q0.31 for d = 0 ... counted - 1; larger differences to the largest input count nothing. */
struct ew_softmax_s8 {
    int32_t rows, depth, counted;
    const int32_t *exponentials;
};

/* `output` may be `input`. */
EW_KERNEL void ew_softmax_s8(const struct ew_softmax_s8 *layer, const int8_t *input, int8_t *output)
{
    const int32_t depth = layer->depth;

    for (int32_t row = 0; row < layer->rows; row++) {
        int32_t most = -128;
        uint32_t sum = 0;

        for (int32_t i = 0; i < depth; i++) {
            most = input[i] > most ? input[i] : most;
        }
        for (int32_t i = 0; i < depth; i++) {
            if (most - input[i] < layer->counted) {
                sum += (uint32_t)ew_round_shift(layer->exponentials[most - input[i]], 12);
            }
        }
        const int32_t headroom = ew_leading_zeros(sum);
        const int32_t scale = ew_one_over_one_plus((int32_t)((sum << headroom) & 0x7fffffffu));

        for (int32_t i = 0; i < depth; i++) {
            int32_t share = 0;

            if (most - input[i] < layer->counted) {
                share = ew_round_shift(ew_high_multiply(scale, layer->exponentials[most - input[i]]), 12 - headroom + 23);
            }
            output[i] = ew_clamp(share, -128, -128, 127);
        }
        input += depth;
        output += depth;
    }
}

#endif
