/* Two-dimensional convolution with the DSP instructions: int8 input, weights and output. */
#ifndef EW_CONV2D_S8_H
#define EW_CONV2D_S8_H

#include "fill_columns.h"
#include "kernel.h"
#include "multiply_rows.h"

/* With EW_CONV2D_WHOLE_FOURS, four divides the bytes of a row of every layer's window. */
#if defined(EW_CONV2D_WHOLE_FOURS)
#define EW_CONV2D_FOURS 1
#else
#define EW_CONV2D_FOURS 0
#endif

/* Weights: for each group the rows of its output channels as ew_multiply_rows takes them. The bias holds -zero_point * sum(weights) of
 * its channel. `multiplier` holds twice the multiplier, modulo 2**32. */
struct ew_conv2d_s8 {
    struct ew_window window;
    int32_t groups;
    int32_t direct; /* 1: a window of one pixel that sees every pixel once, in one group */
    int32_t simple; /* 1: every shift is negative, and the bounds are those of int8 */
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* `workspace`, aligned to four: four columns of halves, 8 * (kernel_height * kernel_width * input_channels / groups, rounded up to a
 * multiple of four) bytes; then what ew_fill_columns wants for bytes, unless `direct` and four divides the number of channels. */
EW_KERNEL void ew_conv2d_s8(const struct ew_conv2d_s8 *layer, const int8_t *input, int8_t *output, void *restrict workspace)
{
    const struct ew_window *window = &layer->window;
    const struct ew_output rescaling = {layer->bias, layer->multiplier, layer->shift, layer->simple,
                                        {layer->output_zero_point, layer->output_min, layer->output_max}};
    const int32_t channels = window->input_channels / layer->groups;
    const int32_t run = window->kernel_width * channels;
    const int32_t quads = (window->kernel_height * run + 3) / 4;
    const int32_t rows = window->output_channels / layer->groups;
    struct ew_columns columns = {workspace, (int32_t *)workspace + 8 * quads, {0, 0, 0, 0}};
    int8_t *bytes = (int8_t *)workspace + 32 * quads;
    struct ew_walk walk = {0, window->output_height * window->output_width, 0, 0};

    if (!layer->direct || (!EW_CONV2D_FOURS && run % 4 != 0)) {
        ew_put(bytes, EW_CONV2D_FOURS || run % 4 == 0 ? run : 16 * quads, (int8_t)layer->input_zero_point);
    }
    for (; walk.position < walk.positions; walk.position += 4) {
        const int8_t *weights = layer->weights;
        struct ew_windows four;

        ew_next_four(window, &walk, &four, columns.at);
        for (int32_t group = 0; group < layer->groups; group++) {
            ew_fill_columns(window, &four, channels, (int8_t)layer->input_zero_point, EW_CONV2D_FOURS, input + group * channels, bytes,
                            workspace);
            weights = ew_multiply_rows(&rescaling, weights, &columns, group * rows, (group + 1) * rows, output);
        }
    }
}

#endif
