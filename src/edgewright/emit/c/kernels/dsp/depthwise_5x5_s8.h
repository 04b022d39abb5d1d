/* Depthwise convolution with a 5x5 window and a stride of 1 or 2, both ways, with the DSP instructions: int8 input, weights and output. */
#ifndef EW_DEPTHWISE_5X5_S8_H
#define EW_DEPTHWISE_5X5_S8_H

#include "depthwise_5x5.h"
#include "fill_plane.h"

/* `workspace`, aligned to four: one channel of the input rows of a strip as halves, padded on all sides, its rows rounded up to an even
 * number; then sixteen bytes that may be read for nothing. */
EW_KERNEL void ew_depthwise_5x5_s8(const struct ew_depthwise_layer *layer, const int8_t *input, int8_t *output, void *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const int32_t filters = window->output_channels / window->input_channels;
    int32_t words[20];

    for (int32_t first = 0; first < window->output_height; first += layer->strip) {
        struct ew_outputs outputs = ew_outputs_of(layer, first, output);
        const struct ew_plane shape = ew_plane_of(layer, first, outputs.rows);
        const int8_t *weights = layer->weights;

        ew_clear_plane(&shape, layer->input_zero_point, workspace);
        for (int32_t i = 0; i < 4; i++) {
            ((int32_t *)workspace)[shape.height * shape.width / 2 + i] = 0;
        }
        for (int32_t filter = 0; filter < window->output_channels; filter++) {
            const struct ew_channel channel = ew_channel_of(layer, filter);

            if (filter % filters == 0) {
                ew_fill_plane(window, &shape, input + filter / filters, workspace);
            }
            for (int32_t *w = words; w != words + 20; w += 4, weights += 5) {
                w[0] = ew_halves(weights[0], weights[1]);
                w[1] = ew_halves(weights[2], weights[3]);
                w[2] = ew_halves(weights[1], weights[2]);
                w[3] = ew_halves(weights[3], weights[4]);
            }
            ew_depthwise_5x5(&channel, words, workspace, shape.width, window->stride_width, &outputs);
            outputs.first++;
        }
    }
}

#endif
