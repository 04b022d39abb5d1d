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

static inline __attribute__((always_inline)) struct ew_sums ew_taps_3x3(struct ew_sums sums, const int8_t *from, int32_t pitch, const int8_t *w)
{
    const int8_t *next = from + pitch;
    const int8_t *last = next + pitch;

    sums = ew_two_taps(sums, from, from + 16, w);
    sums = ew_two_taps(sums, from + 32, next, w + 32);
    sums = ew_two_taps(sums, next + 16, next + 32, w + 64);
    sums = ew_two_taps(sums, last, last + 16, w + 96);
    return ew_tap(sums, last + 32, w + 128);
}

static inline __attribute__((always_inline)) struct ew_sums ew_taps_any(struct ew_sums sums, const struct ew_window *window, const int8_t *from,
                                                                        int32_t pitch, const int8_t *w, int32_t pairs)
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
