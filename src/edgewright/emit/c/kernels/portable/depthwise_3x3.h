/* One channel of a depthwise convolution with a 3x3 window, two outputs at a time. */
#ifndef EW_DEPTHWISE_3X3_H
#define EW_DEPTHWISE_3X3_H

#include "kernel.h"
#include "multiply_add.h"
#include "outputs.h"
#include "rescale_channel.h"

/* Three taps of two outputs that are `stride` apart. */
#define EW_DEPTHWISE_3X3_ROW(x, w)                                               \
    do {                                                                         \
        const int32_t a = (w)[0], b = (w)[1], c = (w)[2];                        \
                                                                                 \
        s = ew_multiply_add(s, (x)[0], a);                                       \
        s = ew_multiply_add(s, (x)[1], b);                                       \
        s = ew_multiply_add(s, (x)[2], c);                                       \
        t = ew_multiply_add(t, (x)[stride], a);                                  \
        t = ew_multiply_add(t, (x)[stride + 1], b);                              \
        t = ew_multiply_add(t, (x)[stride + 2], c);                              \
    } while (0)

/* One row of outputs. Where `count` is odd, the last one is computed alone. What a pair needs beside its inputs is read anew for each: that takes
 * fewer registers than there are. */
EW_INLINE void ew_depthwise_3x3_row(const struct ew_channel *channel, const int8_t *weights, const int8_t *from, int32_t pitch, int32_t stride,
                                    const struct ew_outputs *outputs, int8_t *output)
{
    int32_t left = outputs->count;

    for (; left >= 2; left -= 2) {
        int32_t s = channel->bias;
        int32_t t = s;

        EW_DEPTHWISE_3X3_ROW(from, weights);
        EW_DEPTHWISE_3X3_ROW(from + pitch, weights + 3);
        EW_DEPTHWISE_3X3_ROW(from + 2 * pitch, weights + 6);
        output[0] = ew_rescale_channel(channel, s);
        output[outputs->step] = ew_rescale_channel(channel, t);
        output += 2 * outputs->step;
        from += 2 * stride;
        EW_KEEP_LOOP();
    }
    if (left > 0) {
        int32_t s = channel->bias;

        for (int i = 0; i < 9; i++) {
            s = ew_multiply_add(s, from[i / 3 * pitch + i % 3], weights[i]);
        }
        *output = ew_rescale_channel(channel, s);
    }
}

/* `plane`: the padded input, its rows `pitch` bytes long. `weights`: the nine of the channel. The stride is 1 or 2, both ways. */
EW_KERNEL void ew_depthwise_3x3(const struct ew_channel *channel, const int8_t *weights, const int8_t *plane, int32_t pitch, int32_t stride,
                                const struct ew_outputs *outputs)
{
    for (int32_t row = 0; row < outputs->rows; row++) {
        const int8_t *from = plane + row * stride * pitch;
        int8_t *output = outputs->first + row * outputs->row_step;

        if (stride == 1) {
            ew_depthwise_3x3_row(channel, weights, from, pitch, 1, outputs, output);
        } else {
            ew_depthwise_3x3_row(channel, weights, from, pitch, 2, outputs, output);
        }
    }
}

#endif
