/* Depthwise convolution with windows of three times three pixels side by side, row by row, with AVX-512. */
#ifndef EW_DEPTHWISE_ROWS_H
#define EW_DEPTHWISE_ROWS_H

#include "sums.h"
#include "window.h"

/* The input of a depthwise layer, sixteen channels of it, as seen by a row of windows. */
struct ew_picture {
    const int8_t *rows[3]; /* of its pixel 0; NULL beyond the picture */
    int32_t width, step;   /* in pixels; bytes from pixel to pixel */
    __mmask16 channels;
    __m512i fill;
};

/* Pixels x to x + 3 of row `ky`: for each channel four bytes, 128 added to each. */
EW_INLINE __m512i ew_four_pixels(const struct ew_picture *picture, int32_t ky, int32_t x)
{
    const __m512i words = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const int8_t *row = picture->rows[ky];
    const __m128i fill = _mm_xor_si128(_mm512_castsi512_si128(picture->fill), _mm_set1_epi8(-128));
    __m128i pixels[4];
    __m512i all;

    if (!row) {
        return picture->fill;
    }
    if (x >= 0 && x + 4 <= picture->width) {
        EW_UNROLL
        for (int i = 0; i < 4; i++) {
            pixels[i] = _mm_maskz_loadu_epi8(picture->channels, row + (x + i) * picture->step);
        }
    } else {
        EW_UNROLL
        for (int i = 0; i < 4; i++) {
            const int within = x + i >= 0 && x + i < picture->width;

            pixels[i] = within ? _mm_maskz_loadu_epi8(picture->channels, row + (x + i) * picture->step) : fill;
        }
    }
    all = _mm512_inserti32x4(_mm512_castsi128_si512(pixels[0]), pixels[1], 1);
    all = _mm512_inserti32x4(_mm512_inserti32x4(all, pixels[2], 2), pixels[3], 3);
    all = _mm512_xor_si512(all, _mm512_set1_epi8(-128));
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(words, all), order);
}

/* `count` channels; weights: three rows of three, and a zero behind each. */
EW_INLINE void ew_depthwise_lane(const struct ew_window *window, const struct ew_scaling *scaling, ew_sums bias, const int8_t *weights,
                                 const int8_t *input, int8_t zero_point, int32_t stride, int8_t *output, int32_t count)
{
    struct ew_picture picture = {{NULL, NULL, NULL}, window->input_width, window->input_channels, (__mmask16)((1u << count) - 1u),
                                 _mm512_set1_epi8((char)(zero_point ^ -128))};
    /* Each row of weights, one to three pixels later, and what of it then falls on the next four. */
    __m512i w[3], later[3], half[3], half_over[3], last[3], last_over[3];
    const int32_t channels = window->output_channels;

    EW_UNROLL
    for (int ky = 0; ky < 3; ky++) {
        w[ky] = _mm512_loadu_si512(weights + 4 * EW_LANES * ky);
        later[ky] = _mm512_slli_epi32(w[ky], 8);
        half[ky] = _mm512_slli_epi32(w[ky], 16);
        half_over[ky] = _mm512_srli_epi32(w[ky], 16);
        last[ky] = _mm512_slli_epi32(w[ky], 24);
        last_over[ky] = _mm512_srli_epi32(w[ky], 8);
    }
    for (int32_t y = 0; y < window->output_height; y++) {
        int32_t left = -window->padding_left;
        __m512i now[3], next[3];

        EW_UNROLL
        for (int ky = 0; ky < 3; ky++) {
            const int32_t row = y * window->stride_height - window->padding_top + ky * window->dilation_height;

            picture.rows[ky] = row >= 0 && row < window->input_height ? input + row * window->input_width * window->input_channels : NULL;
            next[ky] = ew_four_pixels(&picture, ky, left);
        }
        for (int32_t x = 0; x < window->output_width; x += 4) {
            __m512i a = bias, b = bias, c = bias, d = bias;

            if (x + 1 == window->output_width) {
                EW_UNROLL
                for (int ky = 0; ky < 3; ky++) {
                    a = _mm512_dpbusd_epi32(a, next[ky], w[ky]);
                }
                ew_put_sums(scaling, a, output + (y * window->output_width + x) * channels, count);
                break;
            }
            EW_UNROLL
            for (int ky = 0; ky < 3; ky++) {
                now[ky] = next[ky];
                next[ky] = ew_four_pixels(&picture, ky, left + 4);
                a = _mm512_dpbusd_epi32(a, now[ky], w[ky]);
                if (stride == 1) {
                    b = _mm512_dpbusd_epi32(b, now[ky], later[ky]);
                    c = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(c, now[ky], half[ky]), next[ky], half_over[ky]);
                    d = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(d, now[ky], last[ky]), next[ky], last_over[ky]);
                } else {
                    b = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(b, now[ky], half[ky]), next[ky], half_over[ky]);
                    now[ky] = next[ky];
                    next[ky] = ew_four_pixels(&picture, ky, left + 8);
                    c = _mm512_dpbusd_epi32(c, now[ky], w[ky]);
                    d = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(d, now[ky], half[ky]), next[ky], half_over[ky]);
                }
            }
            left += 4 * stride;
            ew_put_four(scaling, a, b, c, d, output + (y * window->output_width + x) * channels, channels, window->output_width - x, count);
        }
    }
}

/* As ew_depthwise_channels_s8, for windows of 3 x 3, columns side by side, one or two of them from window to window. `weights`: for each
 * sixteen channels three rows, for each channel three numbers and a zero. */
EW_KERNEL void ew_depthwise_rows(const struct ew_window *window, const struct ew_factors *factors, const int8_t *weights, int8_t zero_point,
                                 const int8_t *restrict input, int8_t *restrict output)
{
    for (int32_t channel = 0; channel < window->output_channels; channel += EW_LANES) {
        const struct ew_scaling scaling = ew_scaling_of(factors, channel);
        const ew_sums bias = ew_bias_of(factors, channel);
        const int32_t left = window->output_channels - channel, count = left < EW_LANES ? left : EW_LANES;

        if (window->stride_width == 1) {
            ew_depthwise_lane(window, &scaling, bias, weights, input + channel, zero_point, 1, output + channel, count);
        } else {
            ew_depthwise_lane(window, &scaling, bias, weights, input + channel, zero_point, 2, output + channel, count);
        }
        weights += 3 * 4 * EW_LANES;
    }
}

#endif
