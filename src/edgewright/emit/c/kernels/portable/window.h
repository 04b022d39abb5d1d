/* The window that a convolution or a pooling slides over a channels-last picture. */
#ifndef EW_WINDOW_H
#define EW_WINDOW_H

#include <stdint.h>

struct ew_window {
    int32_t input_height, input_width, input_channels;
    int32_t output_height, output_width, output_channels;
    int32_t kernel_height, kernel_width;
    int32_t stride_height, stride_width;
    int32_t dilation_height, dilation_width;
    int32_t padding_top, padding_left;
};

#endif
