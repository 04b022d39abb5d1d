/* One channel of a depthwise convolution with any window. */
#ifndef EW_DEPTHWISE_ANY_H
#define EW_DEPTHWISE_ANY_H

#include "kernel.h"
#include "outputs.h"
#include "rescale_channel.h"
#include "window.h"

/* Two taps of a row from any address. */
static inline int32_t ew_load_halves(const int16_t *from)
{
    int32_t word;

    EW_COPY_4(&word, from);
    return word;
}

/* `plane`, `pitch` and `outputs` as for ew_depthwise_3x3. `weights`: the rows of the window as halves, each with a zero at the end where its
 * number of taps is odd. Two outputs at a time; the second of the last pair may be read for nothing. */
EW_KERNEL void ew_depthwise_any(const struct ew_window *window, const struct ew_channel *channel, const int16_t *weights, const int16_t *plane,
                                int32_t pitch, const struct ew_outputs *outputs)
{
    const int32_t taps = (window->kernel_width + 1) & ~1;
    const int32_t spread = window->dilation_width;

    for (int32_t row = 0; row < outputs->rows; row++) {
        int8_t *output = outputs->first + row * outputs->row_step;

        for (int32_t column = 0; column < outputs->count; column += 2) {
            const int16_t *from = plane + row * window->stride_height * pitch + column * window->stride_width;
            const int32_t other = column + 1 < outputs->count ? window->stride_width : 0;
            const int16_t *w = weights;
            int32_t s = channel->bias;
            int32_t t = channel->bias;

            for (int32_t ky = 0; ky < window->kernel_height; ky++) {
                if (spread == 1) {
                    for (int32_t kx = 0; kx < taps; kx += 2) {
                        const int32_t pair = ew_load_halves(w + kx);

                        s = ew_dot(ew_load_halves(from + kx), pair, s);
                        t = ew_dot(ew_load_halves(from + other + kx), pair, t);
                    }
                } else {
                    for (int32_t kx = 0; kx < window->kernel_width; kx++) {
                        s = ew_dot_low_low(from[kx * spread], w[kx], s);
                        t = ew_dot_low_low(from[other + kx * spread], w[kx], t);
                    }
                }
                w += taps;
                from += window->dilation_height * pitch;
            }
            *output = ew_rescale_channel(channel, s);
            if (other) {
                output[outputs->step] = ew_rescale_channel(channel, t);
            }
            output += 2 * outputs->step;
        }
    }
}

#endif
