/* Mean over axes with Helium: int8 input and output. */
#ifndef EW_MEAN_S8_H
#define EW_MEAN_S8_H

#include "clamp.h"
#include "requantize.h"
#include "rescale_all.h"
#include "sum_pixels.h"

/* Two axes are kept and two are averaged over (sizes of 1 where there are fewer); steps are in elements; the output is dense.
 * The zero point of the input, times the number of elements averaged, is `input_offset`. */
struct ew_mean_s8 {
    int32_t kept[2], kept_step[2];
    int32_t averaged[2], averaged_step[2];
    int32_t input_offset, output_zero_point, output_multiplier, output_shift;
};

static inline int32x4_t ew_mean_4(const struct ew_mean_s8 *layer, int32x4_t sum, struct ew_factor factor)
{
    return ew_rescale_down(vshlq_r_s32(vsubq_n_s32(sum, layer->input_offset), factor.left), factor);
}

/* One output at a time. */
static inline void ew_mean_each(const struct ew_mean_s8 *layer, const int8_t *input, int8_t *output)
{
    for (int32_t j = 0; j < layer->kept[1]; j++) {
        const int8_t *outer = input + j * layer->kept_step[1];
        int32_t sum = -layer->input_offset;

        for (int32_t m = 0; m < layer->averaged[0]; m++) {
            const int8_t *from = outer;

            if (layer->averaged_step[1] == 1) {
                for (int32_t left = layer->averaged[1]; left > 0; left -= 16) {
                    sum = vaddvaq_s8(sum, vldrbq_z_s8(from, vctp8q((uint32_t)left)));
                    from += 16;
                }
            } else {
                for (int32_t n = 0; n < layer->averaged[1]; n++) {
                    sum += *from;
                    from += layer->averaged_step[1];
                }
            }
            outer += layer->averaged_step[0];
        }
        output[j] = ew_clamp(ew_requantize(sum, layer->output_multiplier, layer->output_shift), layer->output_zero_point, -128, 127);
    }
}

EW_KERNEL void ew_mean_s8(const struct ew_mean_s8 *layer, const int8_t *restrict input, int8_t *restrict output)
{
    const struct ew_factor factor = ew_factor_of(layer->output_multiplier, layer->output_shift, 1);
    const int32_t channels = layer->kept[1];

    for (int32_t i = 0; i < layer->kept[0]; i++) {
        const int8_t *outer = input + i * layer->kept_step[0];

        if (layer->kept_step[1] != 1) {
            ew_mean_each(layer, outer, output);
        } else {
            for (int32_t channel = 0; channel < channels; channel += 16) {
                const mve_pred16_t lanes = vctp8q((uint32_t)(channels - channel));
                const struct ew_sixteen sums = ew_sum_pixels(outer + channel, layer->averaged[0], layer->averaged_step[0], layer->averaged[1],
                                                             layer->averaged_step[1], lanes);
                const int16x8_t even = ew_narrow_8(ew_mean_4(layer, sums.a, factor), ew_mean_4(layer, sums.c, factor));
                const int16x8_t odd = ew_narrow_8(ew_mean_4(layer, sums.b, factor), ew_mean_4(layer, sums.d, factor));

                vstrbq_p_s8(output + channel, ew_narrow_16(even, odd, layer->output_zero_point), lanes);
            }
        }
        output += channels;
    }
}

#endif
