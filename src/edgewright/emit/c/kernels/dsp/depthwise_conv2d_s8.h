/* Depthwise two-dimensional convolution with the DSP instructions: int8 input, weights and output, one channel after the other. */
#ifndef EW_DEPTHWISE_CONV2D_S8_H
#define EW_DEPTHWISE_CONV2D_S8_H

#include "depthwise_any.h"
#include "fill_plane.h"

/* `workspace`, aligned to four: one channel of the input rows of a strip as halves, padded on all sides, its rows rounded up to an even
 * number; four bytes; then the weights of a channel as halves, their rows rounded up likewise. */
EW_KERNEL void ew_depthwise_conv2d_s8(const struct ew_depthwise_layer *layer, const int8_t *input, int8_t *output,
                                      void *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const int32_t filters = window->output_channels / window->input_channels;
    const int8_t *weights;

    for (int32_t first = 0; first < window->output_height; first += layer->strip) {
        struct ew_outputs outputs = ew_outputs_of(layer, first, output);
        const struct ew_plane shape = ew_plane_of(layer, first, outputs.rows);
        int16_t *halves = (int16_t *)workspace + shape.height * shape.width + 2;

        ((int32_t *)workspace)[shape.height * shape.width / 2] = 0;
        weights = layer->weights;
        ew_clear_plane(&shape, layer->input_zero_point, workspace);
        for (int32_t filter = 0; filter < window->output_channels; filter++) {
            const struct ew_channel channel = ew_channel_of(layer, filter);
            int16_t *to = halves;

            if (filter % filters == 0) {
                ew_fill_plane(window, &shape, input + filter / filters, workspace);
            }
            for (int32_t ky = 0; ky < window->kernel_height; ky++) {
                for (int32_t kx = 0; kx < window->kernel_width; kx++) {
                    *to++ = *weights++;
                    EW_KEEP_LOOP();
                }
                if (window->kernel_width % 2 != 0) {
                    *to++ = 0;
                }
            }
            ew_depthwise_any(window, &channel, halves, workspace, shape.width, &outputs);
            outputs.first++;
        }
    }
}

#endif
