/* From 32-bit sums to bytes, four or sixteen at a time (Armv8.1-M with Helium). Exact for every int32. */
#ifndef EW_RESCALE_H
#define EW_RESCALE_H

#include <arm_mve.h>

#include "kernel.h"

/* How halves of the second rounding are brought about. The instruction rounds them up; they go away from zero.
 * EW_UP: no shift is positive, and negative results are clamped away: rounding up will do.
 * EW_AWAY: every shift is negative. EW_ANY: shifts of any sign. */
enum { EW_UP, EW_AWAY, EW_ANY };

/* `multiplier` and `shift` of an output channel as ew_requantize takes them; `bias` is added to its sum. */
struct ew_rescaling {
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t rounding, zero_point, low, high;
};

/* As ew_requantize, four numbers at a time. */
static inline int32x4_t ew_rescale_4(int32x4_t x, int32x4_t multiplier, int32x4_t shift, int32_t rounding)
{
    if (rounding == EW_ANY) {
        x = vshlq_s32(x, vmaxq_s32(shift, vdupq_n_s32(0)));
    }
    x = vqrdmulhq_s32(x, multiplier);
    if (rounding == EW_AWAY) {
        x = vaddq_s32(x, vshrq_n_s32(x, 31));
    }
    if (rounding == EW_ANY) {
        shift = vminq_s32(shift, vdupq_n_s32(0));
        x = vaddq_s32(x, vshrq_n_s32(vandq_s32(x, shift), 31));
    }
    return vrshlq_s32(x, shift);
}

/* Lane 2 * i of the result is low[i], lane 2 * i + 1 is high[i], held within int16. */
static inline int16x8_t ew_narrow_8(int32x4_t low, int32x4_t high)
{
#if defined(__clang__)
    return vqmovntq_s32(vqmovnbq_s32(vreinterpretq_s16_s32(low), low), high);
#else
    __asm__("vqmovnb.s32 %q0, %q0\n\tvqmovnt.s32 %q0, %q1" : "+w"(low) : "w"(high));
    return vreinterpretq_s16_s32(low);
#endif
}

/* Lane 2 * i of the result is even[i] + zero_point, lane 2 * i + 1 is odd[i] + zero_point, held within int8. */
static inline int8x16_t ew_narrow_16(int16x8_t even, int16x8_t odd, int32_t zero_point)
{
#if defined(__clang__)
    even = vqaddq_n_s16(even, (int16_t)zero_point);
    odd = vqaddq_n_s16(odd, (int16_t)zero_point);
    return vqmovntq_s16(vqmovnbq_s16(vreinterpretq_s8_s16(even), even), odd);
#else
    __asm__("vqadd.s16 %q0, %q0, %2\n\t"
            "vqadd.s16 %q1, %q1, %2\n\t"
            "vqmovnb.s16 %q0, %q0\n\t"
            "vqmovnt.s16 %q0, %q1"
            : "+w"(even), "+w"(odd)
            : "r"(zero_point));
    return vreinterpretq_s8_s16(even);
#endif
}

static inline int8x16_t ew_bound(int8x16_t x, int32_t low, int32_t high)
{
    return vminq_s8(vmaxq_s8(x, vdupq_n_s8((int8_t)low)), vdupq_n_s8((int8_t)high));
}

#endif
