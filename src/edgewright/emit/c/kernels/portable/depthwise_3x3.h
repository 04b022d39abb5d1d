/* One channel of a depthwise convolution with a 3x3 window, two outputs at a time. */
#ifndef EW_DEPTHWISE_3X3_H
#define EW_DEPTHWISE_3X3_H

#include "kernel.h"
#include "multiply_add.h"
#include "rescale_channel.h"

/* Where the outputs of a channel go: `rows` rows of `count`. */
struct ew_outputs {
    int32_t rows, count, row_step, step;
    int8_t *first;
};

/* `plane`: the padded input, its rows `pitch` bytes long. `weights`: the nine of the channel. The stride is 1, both ways. */
EW_KERNEL void ew_depthwise_3x3(const struct ew_channel *channel, const int8_t *weights, const int8_t *plane, int32_t pitch,
                                const struct ew_outputs *outputs)
{
    const int32_t w[9] = {weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6], weights[7], weights[8]};

    for (int32_t row = 0; row < outputs->rows; row++) {
        const int8_t *from = plane + row * pitch;
        int8_t *output = outputs->first + row * outputs->row_step;
        int32_t left = outputs->count;

        for (; left >= 2; left -= 2) {
            const int8_t *x = from;
            int32_t s = channel->bias;
            int32_t t = s;

            s = ew_multiply_add(s, x[0], w[0]);
            s = ew_multiply_add(s, x[1], w[1]);
            t = ew_multiply_add(t, x[1], w[0]);
            s = ew_multiply_add(s, x[2], w[2]);
            t = ew_multiply_add(t, x[2], w[1]);
            t = ew_multiply_add(t, x[3], w[2]);
            x += pitch;
            s = ew_multiply_add(s, x[0], w[3]);
            s = ew_multiply_add(s, x[1], w[4]);
            t = ew_multiply_add(t, x[1], w[3]);
            s = ew_multiply_add(s, x[2], w[5]);
            t = ew_multiply_add(t, x[2], w[4]);
            t = ew_multiply_add(t, x[3], w[5]);
            x += pitch;
            s = ew_multiply_add(s, x[0], w[6]);
            s = ew_multiply_add(s, x[1], w[7]);
            t = ew_multiply_add(t, x[1], w[6]);
            s = ew_multiply_add(s, x[2], w[8]);
            t = ew_multiply_add(t, x[2], w[7]);
            t = ew_multiply_add(t, x[3], w[8]);
            output[0] = ew_rescale_channel(channel, s);
            output[outputs->step] = ew_rescale_channel(channel, t);
            output += 2 * outputs->step;
            from += 2;
        }
        if (left > 0) {
            int32_t s = channel->bias;

            for (int i = 0; i < 9; i++) {
                s = ew_multiply_add(s, from[i / 3 * pitch + i % 3], weights[i]);
            }
            *output = ew_rescale_channel(channel, s);
        }
    }
}

#endif
