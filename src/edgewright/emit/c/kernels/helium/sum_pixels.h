/* Sums of pixels, sixteen channels at a time. */
#ifndef EW_SUM_PIXELS_H
#define EW_SUM_PIXELS_H

#include "rescale.h"

/* Sums of channels 0 4 8 12, 1 5 9 13, 2 6 10 14 and 3 7 11 15. */
struct ew_sixteen {
    int32x4_t a, b, c, d;
};

/* Pixels in `rows` rows of `columns`; steps are in bytes. `lanes`: the channels that are read; the others count 0. */
static inline struct ew_sixteen ew_sum_pixels(const int8_t *from, int32_t rows, int32_t row_step, int32_t columns, int32_t column_step, mve_pred16_t lanes)
{
    struct ew_sixteen sums = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};

    for (; rows > 0; rows--) {
        const int8_t *x = from;

        /* As many as 16 bits hold. */
        for (int32_t left = columns; left > 0; left -= 255) {
            int16x8_t even = vdupq_n_s16(0);
            int16x8_t odd = vdupq_n_s16(0);

            for (int32_t count = left < 255 ? left : 255; count > 0; count--) {
                const int8x16_t pixel = vldrbq_z_s8(x, lanes);

                even = vaddq_s16(even, vmovlbq_s8(pixel));
                odd = vaddq_s16(odd, vmovltq_s8(pixel));
                x += column_step;
            }
            sums.a = vaddq_s32(sums.a, vmovlbq_s16(even));
            sums.b = vaddq_s32(sums.b, vmovlbq_s16(odd));
            sums.c = vaddq_s32(sums.c, vmovltq_s16(even));
            sums.d = vaddq_s32(sums.d, vmovltq_s16(odd));
        }
        from += row_step;
    }
    return sums;
}

#endif
