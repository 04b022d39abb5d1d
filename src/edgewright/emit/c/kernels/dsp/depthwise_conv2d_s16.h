/* Depthwise two-dimensional convolution with the DSP instructions: int16 input and output, int8 weights. */
#ifndef EW_DEPTHWISE_CONV2D_S16_H
#define EW_DEPTHWISE_CONV2D_S16_H

#include "depthwise_wide.h"
#include "simd.h"

/* The taps of a window that lie within the picture, along one axis, and where the first of them reads. */
struct ew_taps {
    int32_t first, end, place;
};

static inline struct ew_taps ew_taps_of(int32_t corner, int32_t kernel, int32_t dilation, int32_t size)
{
    struct ew_taps taps = {0, kernel, corner};

    for (; taps.first < kernel && taps.place < 0; taps.first++) {
        taps.place += dilation;
    }
    while (taps.end > taps.first && corner + (taps.end - 1) * dilation >= size) {
        taps.end--;
    }
    return taps;
}

/* Four channels from `channel` on, which `input`, `weights` and `output` point to. The weights have the bytes 0, 2, 1, 3 of the channels, tap by
 * tap. */
EW_KERNEL void ew_depthwise_four(const struct ew_wide_layer *layer, const struct ew_taps *rows, const struct ew_taps *columns,
                                 const int16_t *input, const int8_t *weights, int32_t channel, int16_t *output)
{
    const int32_t pixel = layer->window.input_channels;
    const int32_t step = layer->window.dilation_width * pixel;
    const int32_t down = layer->window.dilation_height * layer->window.input_width * pixel;
    const int32_t count = columns->end - columns->first;
    const int32_t skip = 4 * (layer->window.kernel_width - count);
    const int16_t *line = input + (rows->place * layer->window.input_width + columns->place) * pixel;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;

    weights += 4 * (rows->first * layer->window.kernel_width + columns->first);
    for (int32_t left = rows->end - rows->first; left > 0; left--) {
        const int16_t *from = line;

        for (int32_t taps = count; taps > 0; taps--) {
            const int32_t word = ew_load(weights);
            const int32_t low = ew_even(word), high = ew_odd(word);
            const int32_t a = ew_load((const int8_t *)from), b = ew_load((const int8_t *)(from + 2));

            s0 = ew_dot_low_low(a, low, s0);
            s1 = ew_dot_high_high(a, low, s1);
            s2 = ew_dot_low_low(b, high, s2);
            s3 = ew_dot_high_high(b, high, s3);
            from += step;
            weights += 4;
        }
        line += down;
        weights += skip;
    }
    if (layer->narrow) {
        output[0] = ew_rescale_narrow(layer, channel, s0);
        output[1] = ew_rescale_narrow(layer, channel + 1, s1);
        output[2] = ew_rescale_narrow(layer, channel + 2, s2);
        output[3] = ew_rescale_narrow(layer, channel + 3, s3);
    } else {
        output[0] = ew_rescale_wide(layer, channel, s0);
        output[1] = ew_rescale_wide(layer, channel + 1, s1);
        output[2] = ew_rescale_wide(layer, channel + 2, s2);
        output[3] = ew_rescale_wide(layer, channel + 3, s3);
    }
}

/* Where every input channel has one output: weights of four channels at a time, then those of the channels left over, as they are. Else all as
 * they are. Windows have at most 256 taps. */
EW_KERNEL void ew_depthwise_conv2d_s16(const struct ew_wide_layer *layer, const int16_t *restrict input, int16_t *restrict output)
{
    const struct ew_window *window = &layer->window;
    const int32_t taps = window->kernel_height * window->kernel_width;
    const int32_t channels = window->output_channels;
    const int32_t filters = channels / window->input_channels;
    const int32_t blocks = filters == 1 ? channels & ~3 : 0;

    for (int32_t y = 0; y < window->output_height; y++) {
        const int32_t top = y * window->stride_height - window->padding_top;
        const struct ew_taps rows = ew_taps_of(top, window->kernel_height, window->dilation_height, window->input_height);

        for (int32_t x = 0; x < window->output_width; x++) {
            const int32_t left = x * window->stride_width - window->padding_left;
            const struct ew_taps columns = ew_taps_of(left, window->kernel_width, window->dilation_width, window->input_width);
            const int8_t *weights = layer->weights;
            int32_t channel = 0;

            for (; channel < blocks; channel += 4) {
                ew_depthwise_four(layer, &rows, &columns, input + channel, weights, channel, output + channel);
                weights += 4 * taps;
            }
            for (; channel < channels; channel++) {
                output[channel] = ew_rescale_wide(layer, channel, ew_depthwise_sum(window, input + channel / filters, weights, top, left, 0));
                weights += taps;
            }
            output += channels;
        }
    }
}

#endif
