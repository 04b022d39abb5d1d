/* Rows of outputs of sixteen channels of a depthwise convolution. */
#ifndef EW_DEPTHWISE_ROWS_H
#define EW_DEPTHWISE_ROWS_H

#include "depthwise_taps.h"
#include "rescale.h"

/* `rows` rows of `columns` outputs: steps lead from row to row and from output to output, and to the corners of their windows; `pitch` to the next
 * row of a window. `lanes`: the channels that are stored. */
struct ew_depthwise_rows {
    int32_t rows, columns;
    int32_t input_row, input_step, output_row, output_step, pitch;
    mve_pred16_t lanes;
    const int8_t *from;
    int8_t *output;
};

/* The sums of a position as bytes; the bias is in them already. */
static inline int8x16_t ew_rescale_channels(const struct ew_rescaling *how, struct ew_sums sums)
{
    const int32_t *m = how->multiplier;
    const int8_t *s = how->shift;
    const int32x4_t a = ew_rescale_4(sums.a, vldrwq_s32(m), vldrbq_s32(s), how->rounding);
    const int32x4_t c = ew_rescale_4(sums.c, vldrwq_s32(m + 8), vldrbq_s32(s + 8), how->rounding);
    const int16x8_t even = ew_narrow_8(a, c);
    const int32x4_t b = ew_rescale_4(sums.b, vldrwq_s32(m + 4), vldrbq_s32(s + 4), how->rounding);
    const int32x4_t d = ew_rescale_4(sums.d, vldrwq_s32(m + 12), vldrbq_s32(s + 12), how->rounding);

    return ew_bound(ew_narrow_16(even, ew_narrow_8(b, d), how->zero_point), how->low, how->high);
}

/* Any window. `pairs`: two products fit 16 bits. */
EW_KERNEL void ew_depthwise_any(const struct ew_rescaling *how, const struct ew_window *window, const struct ew_depthwise_rows *outputs,
                                const int8_t *weights, int32_t pairs)
{
    for (int32_t row = 0; row < outputs->rows; row++) {
        const int8_t *from = outputs->from + row * outputs->input_row;
        int8_t *output = outputs->output + row * outputs->output_row;

        for (int32_t column = 0; column < outputs->columns; column++) {
            const struct ew_sums bias = {vldrwq_s32(how->bias), vldrwq_s32(how->bias + 4), vldrwq_s32(how->bias + 8), vldrwq_s32(how->bias + 12)};
            const struct ew_sums sums = ew_taps_any(bias, window, from, outputs->pitch, weights, pairs);

            vstrbq_p_s8(output, ew_rescale_channels(how, sums), outputs->lanes);
            from += outputs->input_step;
            output += outputs->output_step;
        }
    }
}

#if defined(EW_NINE_TAPS)
#define EW_RESCALE_LANES(x, at, at4, away)          \
    "vldrw.32 q4, [%[multiplier], #" at4 "]\n\t"    \
    "vldrb.s32 q5, [%[shift], #" at "]\n\t"         \
    "vqrdmulh.s32 " x ", " x ", q4\n\t" away(x)     \
    "vrshl.s32 " x ", " x ", q5\n\t"
#define EW_LANES_UP(x)
#define EW_LANES_AWAY(x)                            \
    "vshr.s32 q6, " x ", #31\n\t"                   \
    "vadd.i32 " x ", " x ", q6\n\t"
#define EW_DEPTHWISE_ROW_3X3(away)                                                                                              \
    __asm__ volatile("ldr lr, %[lanes]\n\t"                                                                                     \
                     "vmsr p0, lr\n\t"                                                                                          \
                     "ldr lr, %[columns]\n\t"                                                                                   \
                     "dls lr, lr\n\t"                                                                                           \
                     "1:\n\t"                                                                                                   \
                     "vldrw.32 q0, [%[bias]]\n\t"                                                                               \
                     "vldrw.32 q1, [%[bias], #16]\n\t"                                                                          \
                     "vldrw.32 q2, [%[bias], #32]\n\t"                                                                          \
                     "vldrw.32 q3, [%[bias], #48]\n\t"                                                                          \
                     EW_NINE_TAPS("%[x]", "%[y]", "%[z]", "%[w]")                                                               \
                     EW_RESCALE_LANES("q0", "0", "0", away)                                                                     \
                     EW_RESCALE_LANES("q1", "4", "16", away)                                                                    \
                     EW_RESCALE_LANES("q2", "8", "32", away)                                                                    \
                     EW_RESCALE_LANES("q3", "12", "48", away)                                                                   \
                     "vqmovnb.s32 q0, q0\n\t"                                                                                   \
                     "vqmovnt.s32 q0, q2\n\t"                                                                                   \
                     "vqmovnb.s32 q1, q1\n\t"                                                                                   \
                     "vqmovnt.s32 q1, q3\n\t"                                                                                   \
                     "vqadd.s16 q0, q0, %[zero_point]\n\t"                                                                      \
                     "vqadd.s16 q1, q1, %[zero_point]\n\t"                                                                      \
                     "vqmovnb.s16 q0, q0\n\t"                                                                                   \
                     "vqmovnt.s16 q0, q1\n\t"                                                                                   \
                     "add %[x], %[x], %[input_step]\n\t"                                                                        \
                     "add %[y], %[y], %[input_step]\n\t"                                                                        \
                     "add %[z], %[z], %[input_step]\n\t"                                                                        \
                     "vpst\n\t"                                                                                                 \
                     "vstrbt.8 q0, [%[to]]\n\t"                                                                                 \
                     "add %[to], %[to], %[output_step]\n\t"                                                                     \
                     "le lr, 1b\n\t"                                                                                            \
                     : [x] "+r"(x), [y] "+r"(y), [z] "+r"(z), [to] "+r"(to)                                                     \
                     : [columns] "m"(columns), [input_step] "r"(outputs->input_step), [output_step] "r"(outputs->output_step),      \
                       [w] "r"(weights + 64), [bias] "r"(how->bias), [multiplier] "r"(how->multiplier), [shift] "l"(how->shift), \
                       [zero_point] "r"(how->zero_point), [lanes] "m"(lanes)                                              \
                     : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "lr", "p0", "memory")
#endif

/* A 3x3 window of neighbours; no weight is -128, and the bounds are those of int8. Returns whether there is code for this. */
EW_KERNEL int ew_depthwise_3x3(const struct ew_rescaling *how, const struct ew_depthwise_rows *outputs, const int8_t *weights)
{
#if defined(EW_DEPTHWISE_ROW_3X3)
    const int32_t columns = outputs->columns;
    const uint32_t lanes = outputs->lanes;

    for (int32_t row = 0; row < outputs->rows && how->rounding != EW_ANY; row++) {
        const int8_t *x = outputs->from + row * outputs->input_row;
        const int8_t *y = x + outputs->pitch;
        const int8_t *z = y + outputs->pitch;
        int8_t *to = outputs->output + row * outputs->output_row;

        if (how->rounding == EW_UP) {
            EW_DEPTHWISE_ROW_3X3(EW_LANES_UP);
        } else {
            EW_DEPTHWISE_ROW_3X3(EW_LANES_AWAY);
        }
    }
    return how->rounding != EW_ANY;
#else
    (void)how;
    (void)outputs;
    (void)weights;
    return 0;
#endif
}

#endif
