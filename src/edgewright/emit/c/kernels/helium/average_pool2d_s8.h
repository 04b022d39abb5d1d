/* Two-dimensional average pooling of int8 with Helium; padding is not counted, halves are rounded away from zero. */
#ifndef EW_AVERAGE_POOL2D_S8_H
#define EW_AVERAGE_POOL2D_S8_H

#include "sum_pixels.h"
#include "window.h"

struct ew_average_pool2d_s8 {
    struct ew_window window;
    int32_t output_min, output_max;
};

/* Division by `count` of sums of as many int8; `reciprocal` is 2**32 / count, rounded up (0 for 1). */
struct ew_division {
    int32_t count, reciprocal, offset, even;
};

static inline int32x4_t ew_divide(int32x4_t sum, struct ew_division division)
{
    /* Made positive by 128 * count; half the count is added, and 1 taken from negative sums where that is a whole number. */
    int32x4_t x = vaddq_n_s32(vmlaq_n_s32(sum, vshrq_n_s32(sum, 31), division.even), division.offset);
    int32x4_t quotient = x;

    if (division.count > 1) {
        /* This is the quotient or one more. */
        quotient = vreinterpretq_s32_u32(vmulhq_u32(vreinterpretq_u32_s32(x), vdupq_n_u32((uint32_t)division.reciprocal)));
        x = vmlaq_n_s32(x, quotient, -division.count);
        quotient = vaddq_s32(quotient, vshrq_n_s32(x, 31));
    }
    return quotient;
}

EW_KERNEL void ew_average_pool2d_s8(const struct ew_average_pool2d_s8 *layer, const int8_t *input, int8_t *output)
{
    const struct ew_window *window = &layer->window;
    const int32_t channels = window->input_channels;

    for (int32_t y = 0; y < window->output_height; y++) {
        const int32_t top = y * window->stride_height - window->padding_top;
        const int32_t y0 = top > 0 ? top : 0;
        const int32_t y1 = top + window->kernel_height < window->input_height ? top + window->kernel_height : window->input_height;

        for (int32_t x = 0; x < window->output_width; x++) {
            const int32_t left = x * window->stride_width - window->padding_left;
            const int32_t x0 = left > 0 ? left : 0;
            const int32_t x1 = left + window->kernel_width < window->input_width ? left + window->kernel_width : window->input_width;
            const int32_t count = (y1 - y0) * (x1 - x0);
            const int8_t *corner = input + (y0 * window->input_width + x0) * channels;
            const struct ew_division division = {count, (int32_t)(UINT32_MAX / (uint32_t)count + 1), 128 * count + count / 2, count % 2 == 0};

            for (int32_t channel = 0; channel < channels; channel += 16) {
                const mve_pred16_t lanes = vctp8q((uint32_t)(channels - channel));
                const struct ew_sixteen sums = ew_sum_pixels(corner + channel, y1 - y0, window->input_width * channels, x1 - x0, channels, lanes);
                const int16x8_t even = ew_narrow_8(ew_divide(sums.a, division), ew_divide(sums.c, division));
                const int16x8_t odd = ew_narrow_8(ew_divide(sums.b, division), ew_divide(sums.d, division));

                vstrbq_p_s8(output + channel, ew_bound(ew_narrow_16(even, odd, -128), layer->output_min, layer->output_max), lanes);
            }
            output += channels;
        }
    }
}

#endif
