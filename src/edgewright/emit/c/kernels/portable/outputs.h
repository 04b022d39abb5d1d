/* Where the outputs of a channel go. */
#ifndef EW_OUTPUTS_H
#define EW_OUTPUTS_H

#include "depthwise_layer.h"

/* `rows` rows of `count`. */
struct ew_outputs {
    int32_t rows, count, row_step, step;
    int8_t *first;
};

/* Those of the first channel in the strip of rows from row `first` on. */
static inline struct ew_outputs ew_outputs_of(const struct ew_depthwise_layer *layer, int32_t first, int8_t *output)
{
    const int32_t left = layer->window.output_height - first;
    const struct ew_outputs outputs = {left < layer->strip ? left : layer->strip, layer->window.output_width, layer->output_row,
                                       layer->output_column, output + first * layer->output_row};

    return outputs;
}

#endif
