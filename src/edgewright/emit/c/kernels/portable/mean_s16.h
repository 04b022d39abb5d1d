/* Mean over axes: int16 input and output. */
#ifndef EW_MEAN_S16_H
#define EW_MEAN_S16_H

#include "clamp_16.h"
#include "kernel.h"
#include "requantize.h"

/* Two axes are kept and two are averaged over (sizes of 1 where there are fewer); steps are in elements; the output is dense. */
struct ew_mean_s16 {
    int32_t kept[2], kept_step[2];
    int32_t averaged[2], averaged_step[2];
    int32_t output_multiplier, output_shift;
};

EW_KERNEL void ew_mean_s16(const struct ew_mean_s16 *layer, const int16_t *restrict input, int16_t *restrict output)
{
    for (int32_t i = 0; i < layer->kept[0]; i++) {
        for (int32_t j = 0; j < layer->kept[1]; j++) {
            const int16_t *outer = input + i * layer->kept_step[0] + j * layer->kept_step[1];
            int32_t sum = 0;

            for (int32_t m = 0; m < layer->averaged[0]; m++) {
                const int16_t *from = outer;

                for (int32_t n = 0; n < layer->averaged[1]; n++) {
                    sum += *from;
                    from += layer->averaged_step[1];
                }
                outer += layer->averaged_step[0];
            }
            *output++ = ew_clamp_16(ew_requantize(sum, layer->output_multiplier, layer->output_shift), -32768, 32767);
        }
    }
}

#endif
