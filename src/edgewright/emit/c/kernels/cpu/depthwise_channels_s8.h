/* Depthwise two-dimensional convolution with as many channels as the input has: int8 input, weights and output. */
#ifndef EW_DEPTHWISE_CHANNELS_S8_H
#define EW_DEPTHWISE_CHANNELS_S8_H

#include "depthwise_quads.h"
#include "window.h"
#if defined(EW_AVX512)
#include "depthwise_rows.h"
#endif

/* Windows of up to EW_MOST_TAPS. Weights: for each sixteen channels, quads as ew_depthwise_quads takes them; the other tables have a number
 * for each channel: see struct ew_factors. */
struct ew_depthwise_channels_s8 {
    struct ew_window window;
    int32_t row_taps; /* what a row of a window takes of the weights: kernel_width, or 4 with a zero for windows of 3 x 3 */
    int32_t input_zero_point, simple, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *excess;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* Where each tap of the window at output (y, x) lies, the last one of a row up to `row_taps` times; `fill` where it reaches beyond the
 * picture. Returns whether none does. */
static inline int ew_find_taps(const struct ew_window *window, int32_t row_taps, int32_t y, int32_t x, const int8_t *input,
                               const int8_t *fill, const int8_t **taps)
{
    const int32_t left = x * window->stride_width - window->padding_left;
    int32_t row = y * window->stride_height - window->padding_top;
    int inside = 1;

    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        int32_t column = left;

        for (int32_t kx = 0; kx < window->kernel_width; kx++) {
            const int within = row >= 0 && row < window->input_height && column >= 0 && column < window->input_width;

            *taps++ = within ? input + (row * window->input_width + column) * window->input_channels : fill;
            inside &= within;
            column += window->dilation_width;
        }
        for (int32_t kx = window->kernel_width; kx < row_taps; kx++) {
            *taps = taps[-1];
            taps++;
        }
        row += window->dilation_height;
    }
    return inside;
}

/* All channels of one position. */
EW_INLINE void ew_depthwise_position(const struct ew_depthwise_channels_s8 *layer, const struct ew_factors *factors, const int8_t *const *taps,
                                     int32_t quads, int8_t *output)
{
    const int8_t *weights = layer->weights;
    const int32_t channels = layer->window.output_channels;
    int32_t channel = 0;

    for (; channel + EW_LANES <= channels; channel += EW_LANES) {
        const struct ew_scaling scaling = ew_scaling_of(factors, channel);
        const ew_sums sums = ew_depthwise_quads(weights, taps, quads, channel, EW_LANES, ew_bias_of(factors, channel));

        ew_put_sums(&scaling, sums, output + channel, EW_LANES);
        weights += 4 * EW_LANES * quads;
    }
    if (channel < channels) {
        const struct ew_scaling scaling = ew_scaling_of(factors, channel);
        const ew_sums sums = ew_depthwise_quads(weights, taps, quads, channel, channels - channel, ew_bias_of(factors, channel));

        ew_put_sums(&scaling, sums, output + channel, channels - channel);
    }
}

/* `fill`: a pixel of zero points, input_channels bytes. */
EW_KERNEL void ew_depthwise_channels_s8(const struct ew_depthwise_channels_s8 *layer, const int8_t *restrict input, int8_t *restrict output,
                                        int8_t *restrict fill)
{
    const struct ew_window *window = &layer->window;
    const struct ew_factors factors = {layer->bias, layer->excess, layer->multiplier, layer->shift, layer->simple,
                                       layer->output_zero_point, layer->output_min, layer->output_max};
    const int32_t count = window->kernel_height * layer->row_taps, quads = (count + 3) / 4;
    const int32_t step = window->stride_width * window->input_channels;
    const int8_t *taps[EW_MOST_TAPS];

#if defined(EW_AVX512)
    if (layer->row_taps == 4 && window->kernel_width == 3 && window->dilation_width == 1 && window->stride_width <= 2) {
        ew_depthwise_rows(window, &factors, layer->weights, (int8_t)layer->input_zero_point, input, output);
        return;
    }
#endif
    memset(fill, layer->input_zero_point, (size_t)window->input_channels);
    for (int32_t i = count; i < 4 * quads; i++) {
        taps[i] = fill;
    }
    for (int32_t y = 0; y < window->output_height; y++) {
        int inside = 0;

        for (int32_t x = 0; x < window->output_width; x++) {
            const int32_t last = x * window->stride_width - window->padding_left + (window->kernel_width - 1) * window->dilation_width;

            if (inside && last < window->input_width) {
                for (int32_t i = 0; i < count; i++) {
                    taps[i] += step;
                }
            } else {
                inside = ew_find_taps(window, layer->row_taps, y, x, input, fill, taps);
            }
            if (quads == 3) {
                ew_depthwise_position(layer, &factors, taps, 3, output);
            } else {
                ew_depthwise_position(layer, &factors, taps, quads, output);
            }
            output += window->output_channels;
        }
    }
}

#endif
