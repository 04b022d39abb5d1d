/* Products of sixteen channels with the taps of a window, lane by lane. */
#ifndef EW_DEPTHWISE_TAPS_H
#define EW_DEPTHWISE_TAPS_H

#include <arm_mve.h>

#include "kernel.h"
#include "window.h"

/* Sums of sixteen channels: 0 4 8 12, 1 5 9 13, 2 6 10 14 and 3 7 11 15. */
struct ew_sums {
    int32x4_t a, b, c, d;
};

#if defined(__OPTIMIZE__) && !defined(__clang__)
/* Products of the even channels are in q4, those of the odd ones in q6; q5 is free. */
#define EW_WIDEN                                \
    "vmovlb.s16 q5, q4\n\t"                     \
    "vmovlt.s16 q4, q4\n\t"                     \
    "vadd.i32 q0, q0, q5\n\t"                   \
    "vadd.i32 q2, q2, q4\n\t"                   \
    "vmovlb.s16 q5, q6\n\t"                     \
    "vmovlt.s16 q6, q6\n\t"                     \
    "vadd.i32 q1, q1, q5\n\t"                   \
    "vadd.i32 q3, q3, q6\n\t"
/* Tap x with weights w; two taps whose products fit 16 bits together (one of the inputs is loaded twice: there is no register left). */
#define EW_TAP(x, w)                            \
    "vldrb.8 q6, [" x "]\n\t"                   \
    "vldrb.8 q5, [" w "]\n\t"                   \
    "vmullb.s8 q4, q6, q5\n\t"                  \
    "vmullt.s8 q6, q6, q5\n\t" EW_WIDEN
#define EW_TWO_TAPS(x, y, w, v)                 \
    "vldrb.8 q6, [" x "]\n\t"                   \
    "vldrb.8 q5, [" w "]\n\t"                   \
    "vmullb.s8 q4, q6, q5\n\t"                  \
    "vmullt.s8 q6, q6, q5\n\t"                  \
    "vldrb.8 q5, [" y "]\n\t"                   \
    "vldrb.8 q7, [" v "]\n\t"                   \
    "vmullb.s8 q5, q5, q7\n\t"                  \
    "vadd.i16 q4, q4, q5\n\t"                   \
    "vldrb.8 q5, [" y "]\n\t"                   \
    "vmullt.s8 q5, q5, q7\n\t"                  \
    "vadd.i16 q6, q6, q5\n\t" EW_WIDEN
/* Nine taps at x, y and z with the weights around w. */
#define EW_NINE_TAPS(x, y, z, w)                                 \
    EW_TWO_TAPS(x, x ", #16", w ", #-64", w ", #-48")            \
    EW_TWO_TAPS(x ", #32", y, w ", #-32", w ", #-16")            \
    EW_TWO_TAPS(y ", #16", y ", #32", w, w ", #16")              \
    EW_TWO_TAPS(z, z ", #16", w ", #32", w ", #48")              \
    EW_TAP(z ", #32", w ", #64")
#endif

/* Adds 16-bit numbers of the even and the odd channels. */
static inline __attribute__((always_inline)) struct ew_sums ew_widen(struct ew_sums sums, int16x8_t even, int16x8_t odd)
{
    sums.a = vaddq_s32(sums.a, vmovlbq_s16(even));
    sums.b = vaddq_s32(sums.b, vmovlbq_s16(odd));
    sums.c = vaddq_s32(sums.c, vmovltq_s16(even));
    sums.d = vaddq_s32(sums.d, vmovltq_s16(odd));
    return sums;
}

static inline __attribute__((always_inline)) struct ew_sums ew_tap(struct ew_sums sums, const int8_t *x, const int8_t *w)
{
    const int8x16_t a = vldrbq_s8(x);
    const int8x16_t b = vldrbq_s8(w);

    return ew_widen(sums, vmullbq_int_s8(a, b), vmulltq_int_s8(a, b));
}

/* Two taps whose products fit 16 bits together. */
static inline __attribute__((always_inline)) struct ew_sums ew_two_taps(struct ew_sums sums, const int8_t *x, const int8_t *y, const int8_t *w)
{
    const int8x16_t a = vldrbq_s8(x);
    const int8x16_t b = vldrbq_s8(w);
    const int8x16_t c = vldrbq_s8(y);
    const int8x16_t d = vldrbq_s8(w + 16);
    const int16x8_t even = vaddq_s16(vmullbq_int_s8(a, b), vmullbq_int_s8(c, d));
    const int16x8_t odd = vaddq_s16(vmulltq_int_s8(a, b), vmulltq_int_s8(c, d));

    return ew_widen(sums, even, odd);
}

/* The taps of any window. `pairs`: two products fit 16 bits. */
static inline struct ew_sums ew_taps_any(struct ew_sums sums, const struct ew_window *window, const int8_t *from, int32_t pitch, const int8_t *w,
                                         int32_t pairs)
{
    const int32_t spread = 16 * window->dilation_width;

    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        const int8_t *x = from;
        int32_t kx = window->kernel_width;

        for (; pairs && kx >= 2; kx -= 2) {
            sums = ew_two_taps(sums, x, x + spread, w);
            x += 2 * spread;
            w += 32;
        }
        for (; kx > 0; kx--) {
            sums = ew_tap(sums, x, w);
            x += spread;
            w += 16;
        }
        from += window->dilation_height * pitch;
    }
    return sums;
}

#endif
