/* Dense layer on one vector with Helium: int8 input, weights and output. */
#ifndef EW_DENSE_S8_H
#define EW_DENSE_S8_H

#include "rescale.h"

/* Weights: one row of `inputs` bytes for each output. The bias holds -zero_point * sum(weights) of its row. */
struct ew_dense_s8 {
    int32_t inputs, outputs;
    int32_t rounding;
    int32_t output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* The products of `length` bytes with four rows of weights. */
static inline int32x4_t ew_multiply_4(const int8_t *input, const int8_t *const rows[4], int32_t length)
{
    const int8_t *w0 = rows[0], *w1 = rows[1], *w2 = rows[2], *w3 = rows[3];
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;

#if !defined(__clang__)
    __asm__ volatile("dlstp.8 lr, %[length]\n\t"
                     "1:\n\t"
                     "vldrb.8 q0, [%[x]], #16\n\t"
                     "vldrb.8 q1, [%[w0]], #16\n\t"
                     "vmladava.s8 %[s0], q0, q1\n\t"
                     "vldrb.8 q2, [%[w1]], #16\n\t"
                     "vmladava.s8 %[s1], q0, q2\n\t"
                     "vldrb.8 q3, [%[w2]], #16\n\t"
                     "vmladava.s8 %[s2], q0, q3\n\t"
                     "vldrb.8 q1, [%[w3]], #16\n\t"
                     "vmladava.s8 %[s3], q0, q1\n\t"
                     "letp lr, 1b\n\t"
                     : [x] "+r"(input), [w0] "+r"(w0), [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3), [s0] "+Te"(s0), [s1] "+Te"(s1),
                       [s2] "+Te"(s2), [s3] "+Te"(s3)
                     : [length] "r"(length)
                     : "lr", "q0", "q1", "q2", "q3", "memory");
#else
    for (int32_t k = 0; k < length; k += 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)(length - k));
        const int8x16_t x = vldrbq_z_s8(input + k, lanes);

        s0 = vmladavaq_s8(s0, x, vldrbq_z_s8(w0 + k, lanes));
        s1 = vmladavaq_s8(s1, x, vldrbq_z_s8(w1 + k, lanes));
        s2 = vmladavaq_s8(s2, x, vldrbq_z_s8(w2 + k, lanes));
        s3 = vmladavaq_s8(s3, x, vldrbq_z_s8(w3 + k, lanes));
    }
#endif
    const int32_t sums[4] = {s0, s1, s2, s3};

    return vldrwq_s32(sums);
}

EW_KERNEL void ew_dense_s8(const struct ew_dense_s8 *layer, const int8_t *restrict input, int8_t *restrict output)
{
    for (int32_t row = 0; row < layer->outputs; row += 4) {
        const int32_t left = layer->outputs - row;
        const mve_pred16_t lanes = vctp32q((uint32_t)left);
        const int8_t *rows[4];

        for (int32_t i = 0; i < 4; i++) {
            rows[i] = layer->weights + (row + (i < left ? i : 0)) * layer->inputs;
        }
        int32x4_t x = ew_multiply_4(input, rows, layer->inputs);

        x = vaddq_s32(x, vldrwq_z_s32(layer->bias + row, lanes));
        x = ew_rescale_4(x, vldrwq_z_s32(layer->multiplier + row, lanes), vldrbq_z_s32(layer->shift + row, lanes), layer->rounding);
        x = vqaddq_n_s32(x, layer->output_zero_point);
        x = vminq_s32(vmaxq_s32(x, vdupq_n_s32(layer->output_min)), vdupq_n_s32(layer->output_max));
        vstrbq_p_s32(output + row, x, lanes);
    }
}

#endif
