/* From the sums of up to sixteen output channels at four positions to bytes. */
#ifndef EW_RESCALE_TILE_H
#define EW_RESCALE_TILE_H

#include "rescale.h"

#if defined(__OPTIMIZE__) && !defined(__clang__)
/* Four channels at two positions, in q0 and q1 (or others); `away` is what EW_AWAY does to each. */
#define EW_RESCALE_2X4(x, y, at, at4, next4, away)  \
    "vldrw.32 q6, [%[bias], #" at4 "]\n\t"          \
    "vldrw.32 " x ", [%[sums], #" at4 "]\n\t"       \
    "vadd.i32 " x ", " x ", q6\n\t"                 \
    "vldrw.32 " y ", [%[sums], #" next4 "]\n\t"     \
    "vadd.i32 " y ", " y ", q6\n\t"                 \
    "vldrw.32 q6, [%[multiplier], #" at4 "]\n\t"    \
    "vqrdmulh.s32 " x ", " x ", q6\n\t"             \
    "vqrdmulh.s32 " y ", " y ", q6\n\t" away(x, y)  \
    "vldrb.s32 q6, [%[shift], #" at "]\n\t"         \
    "vrshl.s32 " x ", " x ", q6\n\t"                \
    "vrshl.s32 " y ", " y ", q6\n\t"
#define EW_RESCALE_UP(x, y)
#define EW_RESCALE_AWAY(x, y)                       \
    "vshr.s32 q6, " x ", #31\n\t"                   \
    "vadd.i32 " x ", " x ", q6\n\t"                 \
    "vshr.s32 q6, " y ", #31\n\t"                   \
    "vadd.i32 " y ", " y ", q6\n\t"
/* Sixteen channels at two positions to q0 and q1. */
#define EW_RESCALE_2X16(away)                       \
    EW_RESCALE_2X4("q0", "q1", "0", "0", "64", away)      \
    EW_RESCALE_2X4("q2", "q3", "8", "32", "96", away)     \
    "vqmovnb.s32 q0, q0\n\t"                        \
    "vqmovnt.s32 q0, q2\n\t"                        \
    "vqmovnb.s32 q1, q1\n\t"                        \
    "vqmovnt.s32 q1, q3\n\t"                        \
    EW_RESCALE_2X4("q2", "q3", "4", "16", "80", away)     \
    EW_RESCALE_2X4("q4", "q5", "12", "48", "112", away)   \
    "vqmovnb.s32 q2, q2\n\t"                        \
    "vqmovnt.s32 q2, q4\n\t"                        \
    "vqmovnb.s32 q3, q3\n\t"                        \
    "vqmovnt.s32 q3, q5\n\t"                        \
    "vqadd.s16 q0, q0, %[zero_point]\n\t"           \
    "vqadd.s16 q1, q1, %[zero_point]\n\t"           \
    "vqadd.s16 q2, q2, %[zero_point]\n\t"           \
    "vqadd.s16 q3, q3, %[zero_point]\n\t"           \
    "vqmovnb.s16 q0, q0\n\t"                        \
    "vqmovnt.s16 q0, q2\n\t"                        \
    "vqmovnb.s16 q1, q1\n\t"                        \
    "vqmovnt.s16 q1, q3\n\t"
#define EW_RESCALE_TILE(away)                                                                                                           \
    __asm__ volatile("1:\n\t" EW_RESCALE_2X16(away)                                                                                     \
                     "cbz %[bounded], 2f\n\t"                                                                                           \
                     "ldr %[next], %[low]\n\t"                                                                                          \
                     "vdup.8 q2, %[next]\n\t"                                                                                           \
                     "ldr %[next], %[high]\n\t"                                                                                         \
                     "vdup.8 q3, %[next]\n\t"                                                                                           \
                     "vmax.s8 q0, q0, q2\n\t"                                                                                           \
                     "vmax.s8 q1, q1, q2\n\t"                                                                                           \
                     "vmin.s8 q0, q0, q3\n\t"                                                                                           \
                     "vmin.s8 q1, q1, q3\n\t"                                                                                           \
                     "2:\n\t"                                                                                                           \
                     "add %[next], %[to], %[step]\n\t"                                                                                  \
                     "adds %[sums], %[sums], #128\n\t"                                                                                  \
                     "vstrb.8 q1, [%[next]]\n\t"                                                                                        \
                     "vstrb.8 q0, [%[to]]\n\t"                                                                                          \
                     "add %[to], %[next], %[step]\n\t"                                                                                  \
                     "subs %[pairs], %[pairs], #1\n\t"                                                                                  \
                     "bne 1b\n\t"                                                                                                       \
                     : [sums] "+r"(sums), [to] "+r"(output), [next] "=&r"(next), [pairs] "+r"(pairs)                                    \
                     : [bias] "r"(how->bias), [multiplier] "r"(how->multiplier), [shift] "l"(how->shift), [step] "r"(step),             \
                       [zero_point] "r"(how->zero_point), [bounded] "l"(bounded), [low] "m"(low), [high] "m"(high)                      \
                     : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "cc", "memory")
#endif

/* Sixteen channels, in the order 0 4 8 12 1 5 9 13 2 ..., of one position. */
static inline void ew_rescale_16(const struct ew_rescaling *how, const int32_t *sums, int8_t *output)
{
    int32x4_t x[4];

    for (int i = 0; i < 4; i++) {
        const int32x4_t sum = vaddq_s32(vldrwq_s32(how->bias + 4 * i), vldrwq_s32(sums + 4 * i));

        x[i] = ew_rescale_4(sum, vldrwq_s32(how->multiplier + 4 * i), vldrbq_s32(how->shift + 4 * i), how->rounding);
    }
    vstrbq_s8(output, ew_bound(ew_narrow_16(ew_narrow_8(x[0], x[2]), ew_narrow_8(x[1], x[3]), how->zero_point), how->low, how->high));
}

#ifndef EW_NARROW_TILES
/* The same at 2 * pairs positions, whose sums are sixteen apart, and whose outputs are `step` bytes apart; at one where `step` is 0. */
static inline void ew_rescale_pairs(const struct ew_rescaling *how, const int32_t *sums, int32_t pairs, int32_t step, int8_t *output)
{
#if defined(EW_RESCALE_TILE)
    const int32_t bounded = how->low > -128 || how->high < 127;
    const int32_t low = how->low, high = how->high;
    int8_t *next;

    if (how->rounding == EW_UP) {
        EW_RESCALE_TILE(EW_RESCALE_UP);
        return;
    }
    if (how->rounding == EW_AWAY) {
        EW_RESCALE_TILE(EW_RESCALE_AWAY);
        return;
    }
#endif
    for (int32_t c = 0; c < (step ? 2 * pairs : 1); c++) {
        ew_rescale_16(how, sums + 16 * c, output + c * step);
    }
}

#endif

/* Fewer than sixteen channels, in their own order. */
static inline __attribute__((always_inline)) void ew_rescale_rest(const struct ew_rescaling *how, const int32_t *sums, int32_t many, int32_t count,
                                                                  int32_t step, int8_t *output, int32_t rounding)
{
    const int32_t zero_point = how->zero_point;
    const int32x4_t low = vdupq_n_s32(how->low), high = vdupq_n_s32(how->high);

    for (int32_t row = 0; row < many; row += 4) {
        const int32x4_t bias = vldrwq_s32(how->bias + row);
        const int32x4_t multiplier = vldrwq_s32(how->multiplier + row);
        const int32x4_t shift = vldrbq_s32(how->shift + row);
        const mve_pred16_t lanes = vctp32q((uint32_t)(many - row));
        const int32_t *from = sums + row;
        int8_t *to = output + row;

        for (int32_t c = count; c > 0; c--) {
            int32x4_t x = ew_rescale_4(vaddq_s32(bias, vldrwq_s32(from)), multiplier, shift, rounding);

            x = vminq_s32(vmaxq_s32(vqaddq_n_s32(x, zero_point), low), high);
            vstrbq_p_s32(to, x, lanes);
            from += 16;
            to += step;
        }
    }
}

/* `many` channels (up to sixteen; fewer are in their own order) at `count` positions (up to four): the outputs of a position are `step` bytes
 * after those of the one before. With EW_NARROW_TILES there are always fewer. */
static inline void ew_rescale_tile(const struct ew_rescaling *how, const int32_t *sums, int32_t many, int32_t count, int32_t step, int8_t *output)
{
#ifndef EW_NARROW_TILES
    if (many == 16) {
        if (count > 1) {
            ew_rescale_pairs(how, sums, count / 2, step, output);
        }
        if (count % 2 != 0) {
            ew_rescale_pairs(how, sums + 16 * (count - 1), 1, 0, output + (count - 1) * step);
        }
        return;
    }
#endif
    if (how->rounding == EW_UP) {
        ew_rescale_rest(how, sums, many, count, step, output, EW_UP);
    } else if (how->rounding == EW_AWAY) {
        ew_rescale_rest(how, sums, many, count, step, output, EW_AWAY);
    } else {
        ew_rescale_rest(how, sums, many, count, step, output, EW_ANY);
    }
}

#endif
