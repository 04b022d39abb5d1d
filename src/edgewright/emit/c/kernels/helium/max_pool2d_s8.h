/* Two-dimensional maximum pooling of int8 with Helium; padding never wins. */
#ifndef EW_MAX_POOL2D_S8_H
#define EW_MAX_POOL2D_S8_H

#include "rescale.h"
#include "window.h"

struct ew_max_pool2d_s8 {
    struct ew_window window;
    int32_t output_min, output_max;
};

EW_KERNEL void ew_max_pool2d_s8(const struct ew_max_pool2d_s8 *layer, const int8_t *input, int8_t *output)
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
            const int8_t *corner = input + (y0 * window->input_width + x0) * channels;

            for (int32_t channel = 0; channel < channels; channel += 16) {
                const mve_pred16_t lanes = vctp8q((uint32_t)(channels - channel));
                const int8_t *row = corner + channel;
                int8x16_t most = vdupq_n_s8(-128);

                for (int32_t i = y0; i < y1; i++) {
                    const int8_t *from = row;

                    for (int32_t j = x0; j < x1; j++) {
                        most = vmaxq_s8(most, vldrbq_z_s8(from, lanes));
                        from += channels;
                    }
                    row += window->input_width * channels;
                }
                vstrbq_p_s8(output + channel, ew_bound(most, layer->output_min, layer->output_max), lanes);
            }
            output += channels;
        }
    }
}

#endif
