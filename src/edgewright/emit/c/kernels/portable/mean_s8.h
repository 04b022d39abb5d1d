/* Mean over axes: int8 input and output. */
#ifndef EW_MEAN_S8_H
#define EW_MEAN_S8_H

#include "clamp.h"
#include "kernel.h"
#include "requantize.h"
#include "sum_strided.h"

/* Two axes are kept and two are averaged over (sizes of 1 where there are fewer); steps are in elements; the output is dense.
 * The zero point of the input, times the number of elements averaged, is `input_offset`. */
struct ew_mean_s8 {
    int32_t kept[2], kept_step[2];
    int32_t averaged[2], averaged_step[2];
    int32_t input_offset, output_zero_point, output_multiplier, output_shift;
};

EW_KERNEL void ew_mean_s8(const struct ew_mean_s8 *layer, const int8_t *restrict input, int8_t *restrict output)
{
    for (int32_t i = 0; i < layer->kept[0]; i++) {
        for (int32_t j = 0; j < layer->kept[1]; j++) {
            const int8_t *outer = input + i * layer->kept_step[0] + j * layer->kept_step[1];
            int32_t sum = -layer->input_offset;

            for (int32_t m = 0; m < layer->averaged[0]; m++) {
                sum = ew_sum_strided(sum, outer, layer->averaged[1], layer->averaged_step[1]);
                outer += layer->averaged_step[0];
            }
            *output++ = ew_clamp(ew_requantize(sum, layer->output_multiplier, layer->output_shift), layer->output_zero_point, -128, 127);
        }
    }
}

#endif
