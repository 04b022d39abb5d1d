/* Two-dimensional convolution with Helium: int8 input, weights and output. */
#ifndef EW_CONV2D_S8_H
#define EW_CONV2D_S8_H

#include "gather_column.h"
#include "multiply_columns.h"

/* Each group's output channels are taken sixteen at a time. Sixteen of them stand in the order 0 4 8 12 1 5 9 13 2 ...; fewer, at the end
 * of a group, in their own. Weights: pairs of them as ew_multiply_tile takes them, an odd last one with a row of zeros. `bias`,
 * `multiplier` and `shift` are in the same order, with as many entries for a group as the next multiple of four. The bias holds
 * -zero_point * sum(weights) of its channel. */
struct ew_conv2d_s8 {
    struct ew_window window;
    int32_t groups;
    int32_t whole;      /* 1: a row of a window within the picture lies in one piece */
    int32_t contiguous; /* 1: all of it does */
    int32_t rounding;
    int32_t input_zero_point, output_zero_point, output_min, output_max;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
};

/* The places at which a window of `taps` taps, `spread` apart, lies within `size`. */
static inline int32_t ew_room(int32_t size, int32_t taps, int32_t spread)
{
    const int32_t room = size - (taps - 1) * spread;

    return room > 0 ? room : 0;
}

/* `columns`: 4 * kernel_height * kernel_width * input_channels / groups bytes; unused where every window is contiguous and within the picture. */
EW_KERNEL void ew_conv2d_s8(const struct ew_conv2d_s8 *layer, const int8_t *input, int8_t *output, int8_t *restrict columns)
{
    const struct ew_window *window = &layer->window;
    const int32_t channels = window->input_channels / layer->groups;
    const int32_t length = window->kernel_height * window->kernel_width * channels;
    const int32_t rows = window->output_channels / layer->groups;
    const int32_t positions = window->output_height * window->output_width;
    const int32_t pitch = window->input_width * window->input_channels;
    const int32_t run = window->kernel_width * channels;
    const int32_t end = window->output_width * window->stride_width - window->padding_left;
    /* The corners of windows within the picture lie below these. */
    const int32_t bottom = ew_room(window->input_height, window->kernel_height, window->dilation_height);
    const int32_t right = ew_room(window->input_width, window->kernel_width, window->dilation_width);
    int32_t top = -window->padding_top, left = -window->padding_left;

    for (int32_t position = 0; position < positions; position += 4) {
        struct ew_rescaling rescaling = {layer->bias, layer->multiplier, layer->shift, layer->rounding, layer->output_zero_point,
                                         layer->output_min, layer->output_max};
        struct ew_columns four = {.length = length, .count = positions - position < 4 ? positions - position : 4, .step = window->output_channels};
        const int8_t *weights = layer->weights;
        int32_t tops[4], lefts[4];

        for (int32_t c = 0; c < four.count; c++) {
            tops[c] = top;
            lefts[c] = left;
            left += window->stride_width;
            if (left == end) {
                left = -window->padding_left;
                top += window->stride_height;
            }
        }
        four.output = output + position * window->output_channels;
        for (int32_t group = 0; group < layer->groups; group++) {
            const int8_t *first = input + group * channels;

            for (int32_t c = 0; c < 4; c++) {
                int8_t *column = columns + c * length;

                if (c >= four.count) {
                    four.from[c] = four.from[0];
                    continue;
                }
                four.from[c] = column;
                if ((uint32_t)tops[c] < (uint32_t)bottom && (uint32_t)lefts[c] < (uint32_t)right && layer->whole) {
                    const int8_t *corner = first + tops[c] * pitch + lefts[c] * window->input_channels;

                    if (layer->contiguous) {
                        four.from[c] = corner;
                    } else {
                        ew_copy_rows(column, run, corner, window->dilation_height * pitch, run, window->kernel_height);
                    }
                } else {
                    ew_gather_column(window, tops[c], lefts[c], channels, (int8_t)layer->input_zero_point, first, column);
                }
            }
            weights = ew_multiply_columns(&rescaling, weights, &four, rows);
            four.output += rows;
        }
    }
}

#endif
