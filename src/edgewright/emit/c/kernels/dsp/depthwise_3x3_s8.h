/* Depthwise convolution with a 3x3 window and a stride of 1 or 2, both ways, with the DSP instructions: int8 input, weights and output. */
#ifndef EW_DEPTHWISE_3X3_S8_H
#define EW_DEPTHWISE_3X3_S8_H

#include "depthwise_3x3.h"
#include "fill_plane.h"

/* `workspace`, aligned to four: one channel of the input rows of a strip as halves, padded on all sides, its rows rounded up to an even
 * number; then four bytes that may be read for nothing. */
EW_KERNEL void ew_depthwise_3x3_s8(const struct ew_depthwise_layer *layer, const int8_t *input, int8_t *output,
                                   void *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const int32_t filters = window->output_channels / window->input_channels;

    for (int32_t first = 0; first < window->output_height; first += layer->strip) {
        struct ew_outputs outputs = ew_outputs_of(layer, first, output);
        const struct ew_plane shape = ew_plane_of(layer, first, outputs.rows);

        ew_clear_plane(&shape, layer->input_zero_point, workspace);
        ((int32_t *)workspace)[shape.height * shape.width / 2] = 0;
        for (int32_t filter = 0; filter < window->output_channels; filter++) {
            const struct ew_channel channel = ew_channel_of(layer, filter);

            if (filter % filters == 0) {
                ew_fill_plane(window, &shape, input + filter / filters, workspace);
            }
            ew_depthwise_3x3(&channel, layer->weights + 9 * filter, workspace, shape.width, window->stride_width, &outputs);
            outputs.first++;
        }
    }
}

#endif
