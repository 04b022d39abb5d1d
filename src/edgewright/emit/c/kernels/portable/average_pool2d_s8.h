/* Two-dimensional average pooling of int8; padding is not counted, halves are rounded away from zero. */
#ifndef EW_AVERAGE_POOL2D_S8_H
#define EW_AVERAGE_POOL2D_S8_H

#include "average_pixels_s8.h"
#include "kernel.h"
#include "window.h"

struct ew_average_pool2d_s8 {
    struct ew_window window;
    int32_t output_min, output_max;
};

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
            const struct ew_average_pixels_s8 seen = {y1 - y0, window->input_width * channels, x1 - x0, channels, layer->output_min, layer->output_max};

            ew_average_pixels_s8(&seen, input + (y0 * window->input_width + x0) * channels, output);
            output += channels;
        }
    }
}

#endif
