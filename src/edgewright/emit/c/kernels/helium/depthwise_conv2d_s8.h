/* Depthwise two-dimensional convolution with Helium: int8 input, weights and output, sixteen output channels at a time. */
#ifndef EW_DEPTHWISE_CONV2D_S8_H
#define EW_DEPTHWISE_CONV2D_S8_H

#include "depthwise_taps.h"
#include "fill_plane.h"
#include "rescale.h"

/* Weights: for each block of sixteen output channels, the sixteen bytes of each tap in turn; zeros where channels are missing. `bias`,
 * `multiplier` and `shift`: for each block in the order 0 4 8 12 1 5 9 13 2 ...; the bias holds -zero_point * sum(weights) of its channel.
 * Output channel c * multiplier + j comes from input channel c. */
struct ew_depthwise_conv2d_s8 {
    struct ew_window window;
    int32_t rows, columns; /* of outputs that one filling of the plane serves */
    int32_t pairs;         /* 1: no weight is -128, so that two products fit 16 bits */
    int32_t rounding;
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

static inline __attribute__((always_inline)) int8x16_t ew_rescale_sums(const struct ew_rescaling *how, const struct ew_sums *sums, int32_t rounding)
{
    const int32_t *m = how->multiplier;
    const int8_t *s = how->shift;
    const int32x4_t a = ew_rescale_4(sums->a, vldrwq_s32(m), vldrbq_s32(s), rounding);
    const int32x4_t c = ew_rescale_4(sums->c, vldrwq_s32(m + 8), vldrbq_s32(s + 8), rounding);
    const int16x8_t even = ew_narrow_8(a, c);
    const int32x4_t b = ew_rescale_4(sums->b, vldrwq_s32(m + 4), vldrbq_s32(s + 4), rounding);
    const int32x4_t d = ew_rescale_4(sums->d, vldrwq_s32(m + 12), vldrbq_s32(s + 12), rounding);

    return ew_bound(ew_narrow_16(even, ew_narrow_8(b, d), how->zero_point), how->low, how->high);
}

/* Up to sixteen channels, as many as `lanes` has, at rows x columns positions. */
static inline __attribute__((always_inline)) void ew_depthwise_tile(const struct ew_window *window, const struct ew_rescaling *how, const int8_t *weights,
                                                                    const int8_t *plane, int32_t pitch, const struct ew_tile *tile, int32_t small,
                                                                    int32_t pairs, int32_t rounding)
{
    for (int32_t y = 0; y < tile->rows; y++) {
        const int8_t *from = plane + y * window->stride_height * pitch;
        int8_t *to = tile->output + y * window->output_width * window->output_channels;

        for (int32_t x = 0; x < tile->columns; x++) {
            struct ew_sums sums = {vldrwq_s32(how->bias), vldrwq_s32(how->bias + 4), vldrwq_s32(how->bias + 8), vldrwq_s32(how->bias + 12)};

            if (small) {
                sums = ew_taps_3x3(sums, from, pitch, weights);
            } else {
                sums = ew_taps_any(sums, window, from, pitch, weights, pairs);
            }
            vstrbq_p_s8(to, ew_rescale_sums(how, &sums, rounding), tile->lanes);
            from += 16 * window->stride_width;
            to += window->output_channels;
        }
    }
}

/* `plane`: sixteen bytes for each pixel that the window sees at rows x columns positions. */
EW_KERNEL void ew_depthwise_conv2d_s8(const struct ew_depthwise_conv2d_s8 *layer, const int8_t *restrict input, int8_t *restrict output,
                                      int8_t *restrict plane)
{
    const struct ew_window *window = &layer->window;
    const int32_t taps = window->kernel_height * window->kernel_width;
    const int32_t filters = window->output_channels / window->input_channels;
    const int small = layer->pairs && window->kernel_height == 3 && window->kernel_width == 3 && window->dilation_height * window->dilation_width == 1;
    struct ew_rescaling how = {layer->bias, layer->multiplier, layer->shift, layer->rounding, layer->output_zero_point, layer->output_min, layer->output_max};
    const int8_t *weights = layer->weights;

    for (int32_t channel = 0; channel < window->output_channels; channel += 16) {
        const struct ew_lanes lanes = ew_lanes_of(channel, window->output_channels, filters);

        for (int32_t y = 0; y < window->output_height; y += layer->rows) {
            for (int32_t x = 0; x < window->output_width; x += layer->columns) {
                const struct ew_tile tile = {y + layer->rows < window->output_height ? layer->rows : window->output_height - y,
                                             x + layer->columns < window->output_width ? layer->columns : window->output_width - x,
                                             output + (y * window->output_width + x) * window->output_channels + channel, lanes.active};
                const int32_t pitch = ew_fill_plane(window, y, x, &tile, &lanes, (int8_t)layer->input_zero_point, input, plane);

                if (small && layer->rounding == EW_UP) {
                    ew_depthwise_tile(window, &how, weights, plane, pitch, &tile, 1, 1, EW_UP);
                } else if (small && layer->rounding == EW_AWAY) {
                    ew_depthwise_tile(window, &how, weights, plane, pitch, &tile, 1, 1, EW_AWAY);
                } else {
                    ew_depthwise_tile(window, &how, weights, plane, pitch, &tile, small, layer->pairs, EW_ANY);
                }
            }
        }
        weights += 16 * taps;
        how.bias += 16;
        how.multiplier += 16;
        how.shift += 16;
    }
}

#endif
