/* From four sums of one output channel to four bytes. */
#ifndef EW_STORE_ROW_H
#define EW_STORE_ROW_H

#include "clamp.h"
#include "requantize.h"
#include "simd.h"

/* How the output channels of a layer are rescaled. `doubled` holds twice the multipliers, modulo 2**32; `bounded` says that the bounds are
 * narrower than int8. */
struct ew_output {
    const int32_t *bias;
    const int32_t *doubled;
    const int8_t *shift;
    int32_t zero_point, bounded, low, high;
};

/* Writes sum c, rescaled for `channel`, to output[at[c]]. */
static inline void ew_store_row(const struct ew_output *layer, int32_t channel, int32_t s0, int32_t s1, int32_t s2, int32_t s3,
                                int8_t *output, const int32_t at[4])
{
    const int32_t doubled = layer->doubled[channel];
    const int32_t shift = layer->shift[channel];

    if (shift < 0 && !layer->bounded) {
        const int32_t right = -1 - shift;
        const int32_t offset = 2 * layer->zero_point + 1;

        output[at[0]] = (int8_t)ew_rescale(s0, doubled, right, offset);
        output[at[1]] = (int8_t)ew_rescale(s1, doubled, right, offset);
        output[at[2]] = (int8_t)ew_rescale(s2, doubled, right, offset);
        output[at[3]] = (int8_t)ew_rescale(s3, doubled, right, offset);
    } else {
        const int32_t sums[4] = {s0, s1, s2, s3};

        for (int c = 0; c < 4; c++) {
            const int32_t scaled = ew_requantize(sums[c], (int32_t)((uint32_t)doubled >> 1), shift);

            output[at[c]] = ew_clamp(scaled, layer->zero_point, layer->low, layer->high);
        }
    }
}

#endif
