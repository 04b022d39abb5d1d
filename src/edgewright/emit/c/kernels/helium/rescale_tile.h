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
#define EW_RESCALE_REGISTERS                                                                                                              \
    : "=w"(x), "=w"(y)                                                                                                                    \
    : [bias] "r"(how->bias), [multiplier] "r"(how->multiplier), [shift] "r"(how->shift), [sums] "r"(sums), [zero_point] "r"(how->zero_point), \
      "m"(*(const int32_t(*)[64])sums)                                                                                                    \
    : "q2", "q3", "q4", "q5", "q6"
#endif

/* Sixteen channels, in the order 0 4 8 12 1 5 9 13 2 ..., of one position: the fallback for every way to round. */
static inline int8x16_t ew_rescale_16(const struct ew_rescaling *how, const int32_t *sums)
{
    int32x4_t x[4];

    for (int i = 0; i < 4; i++) {
        const int32x4_t sum = vaddq_s32(vldrwq_s32(how->bias + 4 * i), vldrwq_s32(sums + 4 * i));

        x[i] = ew_rescale_4(sum, vldrwq_s32(how->multiplier + 4 * i), vldrbq_s32(how->shift + 4 * i), how->rounding);
    }
    return ew_narrow_16(ew_narrow_8(x[0], x[2]), ew_narrow_8(x[1], x[3]), how->zero_point);
}

/* The same at two positions, whose sums are sixteen apart. */
static inline void ew_rescale_2x16(const struct ew_rescaling *how, const int32_t *sums, int8_t *first, int8_t *second)
{
    register int8x16_t x __asm__("q0"), y __asm__("q1");

#if defined(EW_RESCALE_2X16)
    if (how->rounding == EW_UP) {
        __asm__(EW_RESCALE_2X16(EW_RESCALE_UP) EW_RESCALE_REGISTERS);
    } else if (how->rounding == EW_AWAY) {
        __asm__(EW_RESCALE_2X16(EW_RESCALE_AWAY) EW_RESCALE_REGISTERS);
    } else
#endif
    {
        x = ew_rescale_16(how, sums);
        y = ew_rescale_16(how, sums + 16);
    }
    if (how->low > -128 || how->high < 127) {
        x = ew_bound(x, how->low, how->high);
        y = ew_bound(y, how->low, how->high);
    }
    vstrbq_s8(second, y);
    vstrbq_s8(first, x);
}

/* `many` channels (up to sixteen; fewer are in their own order) at `count` positions (up to four): the outputs of a position are `step` bytes
 * after those of the one before. */
static inline void ew_rescale_tile(const struct ew_rescaling *how, const int32_t *sums, int32_t many, int32_t count, int32_t step, int8_t *output)
{
    if (many == 16) {
        for (int32_t c = 0; c < count; c += 2) {
            ew_rescale_2x16(how, sums, output, c + 1 < count ? output + step : output);
            sums += 32;
            output += 2 * step;
        }
        return;
    }
    for (int32_t row = 0; row < many; row += 4) {
        const int32x4_t bias = vldrwq_s32(how->bias + row);
        const int32x4_t multiplier = vldrwq_s32(how->multiplier + row);
        const int32x4_t shift = vldrbq_s32(how->shift + row);
        const mve_pred16_t lanes = vctp32q((uint32_t)(many - row));

        for (int32_t c = 0; c < count; c++) {
            int32x4_t x = ew_rescale_4(vaddq_s32(bias, vldrwq_s32(sums + 16 * c + row)), multiplier, shift, how->rounding);

            x = vqaddq_n_s32(x, how->zero_point);
            x = vminq_s32(vmaxq_s32(x, vdupq_n_s32(how->low)), vdupq_n_s32(how->high));
            vstrbq_p_s32(output + c * step + row, x, lanes);
        }
    }
}

#endif
