/* Sum or difference of two tensors, broadcast against each other, with Helium: int8 inputs and output. */
#ifndef EW_SUM_S8_H
#define EW_SUM_S8_H

#include "rescale_all.h"

/* Both operands are brought to twice the larger scale with twenty extra bits, summed, and rescaled. No factor is above 1.
 * Steps are in elements, 0 where an operand is broadcast (1 or 0 along the last axis); the output is dense. */
struct ew_sum_s8 {
    int32_t sizes[4], first_step[4], second_step[4];
    int32_t halved; /* 1: the factor of the first operand is 1/2 */
    int32_t first_zero_point, first_multiplier, first_shift;
    int32_t second_zero_point, second_multiplier, second_shift, second_sign;
    int32_t output_zero_point, output_multiplier, output_shift, output_min, output_max;
};

struct ew_sum {
    struct ew_factor first, second, output;
    int32_t sign;
};

static inline __attribute__((always_inline)) int32x4_t ew_sum_4(const struct ew_sum *sum, int32x4_t a, int32x4_t b, int halved)
{
    if (!halved) {
        a = ew_rescale_down(a, sum->first);
    }
    return ew_rescale_down(vmlaq_n_s32(a, ew_rescale_down(b, sum->second), sum->sign), sum->output);
}

/* Eight numbers of both operands, minus their zero points, times 16 (times 8 where `halved`, which is exact). */
static inline __attribute__((always_inline)) int16x8_t ew_sum_8(const struct ew_sum *sum, int16x8_t a, int16x8_t b, int halved)
{
    const int32x4_t low = ew_sum_4(sum, vshllbq_n_s16(a, 16), vshllbq_n_s16(b, 16), halved);

    return ew_narrow_8(low, ew_sum_4(sum, vshlltq_n_s16(a, 16), vshlltq_n_s16(b, 16), halved));
}

/* `count` neighbours; steps of the operands are 1 or 0. */
static inline __attribute__((always_inline)) void ew_sum_run(const struct ew_sum_s8 *layer, const struct ew_sum *sum, const int8_t *first, int32_t first_step,
                                                             const int8_t *second, int32_t second_step, int8_t *output, int32_t count, int halved)
{
    const int16_t first_zero = (int16_t)(layer->first_zero_point * (halved ? 8 : 16));
    const int16_t second_zero = (int16_t)(layer->second_zero_point * 16);

    for (; count > 0; count -= 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)count);
        const int8x16_t a = first_step ? vldrbq_z_s8(first, lanes) : vdupq_n_s8(*first);
        const int8x16_t b = second_step ? vldrbq_z_s8(second, lanes) : vdupq_n_s8(*second);
        const int16x8_t even = ew_sum_8(sum, vsubq_n_s16(halved ? vshllbq_n_s8(a, 3) : vshllbq_n_s8(a, 4), first_zero),
                                        vsubq_n_s16(vshllbq_n_s8(b, 4), second_zero), halved);
        const int16x8_t odd = ew_sum_8(sum, vsubq_n_s16(halved ? vshlltq_n_s8(a, 3) : vshlltq_n_s8(a, 4), first_zero),
                                       vsubq_n_s16(vshlltq_n_s8(b, 4), second_zero), halved);

        vstrbq_p_s8(output, ew_bound(ew_narrow_16(even, odd, layer->output_zero_point), layer->output_min, layer->output_max), lanes);
        first += 16 * first_step;
        second += 16 * second_step;
        output += 16;
    }
}

#if defined(__OPTIMIZE__) && !defined(__clang__)
/* Four sums: the halves `part` (b or t) of 16-bit a and b to x, by way of y. */
#define EW_SUM_4(part, a, b, x, y)                  \
    "vshll" part ".s16 " x ", " a ", #16\n\t"       \
    "vshll" part ".s16 " y ", " b ", #16\n\t"       \
    "vqrdmulh.s32 " y ", " y ", %[second_multiplier]\n\t" \
    "vshr.s32 q6, " y ", #31\n\t"                   \
    "vadd.i32 " y ", " y ", q6\n\t"                 \
    "vrshl.s32 " y ", %[second_right]\n\t"          \
    "vadd.i32 " x ", " x ", " y "\n\t"              \
    "vqrdmulh.s32 " x ", " x ", %[multiplier]\n\t"  \
    "vshr.s32 q6, " x ", #31\n\t"                   \
    "vadd.i32 " x ", " x ", q6\n\t"                 \
    "vrshl.s32 " x ", %[right]\n\t"
#endif

/* As many sums as there are whole sixteens in `count`; how many that is. The first operand is halved, every other shift is negative, and
 * the bounds are those of int8. */
static inline int32_t ew_sum_sixteens(const struct ew_sum_s8 *layer, const struct ew_sum *sum, const int8_t *first, const int8_t *second, int8_t *output,
                                      int32_t count)
{
#if defined(EW_SUM_4)
    if (count < 16 || sum->sign != 1 || sum->second.right >= 0 || sum->output.right >= 0 || layer->output_min > -128 || layer->output_max < 127) {
        return 0;
    }
    __asm__ volatile("dls lr, %[blocks]\n\t"
                     "1:\n\t"
                     "vldrb.8 q0, [%[a]], #16\n\t"
                     "vldrb.8 q1, [%[b]], #16\n\t"
                     "vshllb.s8 q2, q0, #3\n\t"
                     "vshllb.s8 q3, q1, #4\n\t"
                     "vsub.i16 q2, q2, %[first_zero]\n\t"
                     "vsub.i16 q3, q3, %[second_zero]\n\t"
                     EW_SUM_4("b", "q2", "q3", "q4", "q5")
                     EW_SUM_4("t", "q2", "q3", "q2", "q3")
                     "vqmovnb.s32 q4, q4\n\t"
                     "vqmovnt.s32 q4, q2\n\t"
                     "vshllt.s8 q0, q0, #3\n\t"
                     "vshllt.s8 q1, q1, #4\n\t"
                     "vsub.i16 q0, q0, %[first_zero]\n\t"
                     "vsub.i16 q1, q1, %[second_zero]\n\t"
                     EW_SUM_4("b", "q0", "q1", "q2", "q5")
                     EW_SUM_4("t", "q0", "q1", "q0", "q1")
                     "vqmovnb.s32 q2, q2\n\t"
                     "vqmovnt.s32 q2, q0\n\t"
                     "vqadd.s16 q4, q4, %[zero_point]\n\t"
                     "vqadd.s16 q2, q2, %[zero_point]\n\t"
                     "vqmovnb.s16 q4, q4\n\t"
                     "vqmovnt.s16 q4, q2\n\t"
                     "vstrb.8 q4, [%[to]], #16\n\t"
                     "le lr, 1b\n\t"
                     : [a] "+r"(first), [b] "+r"(second), [to] "+r"(output)
                     : [blocks] "r"(count / 16), [first_zero] "r"(8 * layer->first_zero_point), [second_zero] "r"(16 * layer->second_zero_point),
                       [second_multiplier] "r"(sum->second.multiplier), [second_right] "r"(sum->second.right),
                       [multiplier] "r"(sum->output.multiplier), [right] "r"(sum->output.right), [zero_point] "r"(layer->output_zero_point)
                     : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "lr", "memory");
    return count & ~15;
#else
    (void)layer;
    (void)sum;
    (void)first;
    (void)second;
    (void)output;
    (void)count;
    return 0;
#endif
}

/* `output` may be an input that is not broadcast. */
EW_KERNEL void ew_sum_s8(const struct ew_sum_s8 *layer, const int8_t *first, const int8_t *second, int8_t *output)
{
    const int32_t *sizes = layer->sizes;
    const int clipped = layer->output_min >= layer->output_zero_point;
    const struct ew_sum sum = {ew_factor_of(layer->first_multiplier, layer->first_shift, 1), ew_factor_of(layer->second_multiplier, layer->second_shift, 1),
                               ew_factor_of(layer->output_multiplier, layer->output_shift, !clipped), layer->second_sign};

    for (int32_t i = 0; i < sizes[0]; i++) {
        for (int32_t j = 0; j < sizes[1]; j++) {
            for (int32_t k = 0; k < sizes[2]; k++) {
                const int8_t *a = first + i * layer->first_step[0] + j * layer->first_step[1] + k * layer->first_step[2];
                const int8_t *b = second + i * layer->second_step[0] + j * layer->second_step[1] + k * layer->second_step[2];

                if (layer->halved && layer->first_step[3] && layer->second_step[3]) {
                    const int32_t done = ew_sum_sixteens(layer, &sum, a, b, output, sizes[3]);

                    ew_sum_run(layer, &sum, a + done, 1, b + done, 1, output + done, sizes[3] - done, 1);
                } else {
                    ew_sum_run(layer, &sum, a, layer->first_step[3], b, layer->second_step[3], output, sizes[3], 0);
                }
                output += sizes[3];
            }
        }
    }
}

#endif
