/* One channel of a depthwise convolution with any window. */
#ifndef EW_DEPTHWISE_ANY_H
#define EW_DEPTHWISE_ANY_H

#include "kernel.h"
#include "multiply_add.h"
#include "outputs.h"
#include "rescale_channel.h"
#include "window.h"

/* `plane`, `pitch`, `weights` and `outputs` as for ew_depthwise_3x3. Two outputs at a time. */
EW_KERNEL void ew_depthwise_any(const struct ew_window *window, const struct ew_channel *channel, const int8_t *weights, const int8_t *plane,
                                int32_t pitch, const struct ew_outputs *outputs)
{
    for (int32_t row = 0; row < outputs->rows; row++) {
        int8_t *output = outputs->first + row * outputs->row_step;

        for (int32_t column = 0; column < outputs->count; column += 2) {
            const int8_t *from = plane + row * window->stride_height * pitch + column * window->stride_width;
            const int32_t other = column + 1 < outputs->count ? window->stride_width : 0;
            const int8_t *w = weights;
            int32_t s = channel->bias;
            int32_t t = s;

            for (int32_t ky = 0; ky < window->kernel_height; ky++) {
                const int8_t *x = from;

                for (int32_t kx = window->kernel_width; kx > 0; kx--) {
                    s = ew_multiply_add(s, x[0], *w);
                    t = ew_multiply_add(t, x[other], *w);
                    x += window->dilation_width;
                    w++;
                }
                from += window->dilation_height * pitch;
            }
            output[0] = ew_rescale_channel(channel, s);
            if (other) {
                output[outputs->step] = ew_rescale_channel(channel, t);
            }
            output += 2 * outputs->step;
        }
    }
}

#endif
