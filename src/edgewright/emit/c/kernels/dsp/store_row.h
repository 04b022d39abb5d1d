/* From four sums of one output channel to four bytes. */
#ifndef EW_STORE_ROW_H
#define EW_STORE_ROW_H

#include "clamp.h"
#include "requantize.h"
#include "simd.h"

/* What the channels of a layer share. `bounded`: the bounds are narrower than int8. */
struct ew_output {
    int32_t zero_point, bounded, low, high;
};

/* Writes sums[c], rescaled, to output[at[c]]. `doubled` is twice the multiplier; with shift < 0 it is at least 2**31 (unsigned). */
static inline void ew_store_row(const struct ew_output *layer, const int32_t sums[4], int32_t doubled, int32_t shift, int8_t *output,
                                const int32_t at[4])
{
    if (shift < 0) {
        const int32_t right = -1 - shift;
        const int32_t offset = 2 * layer->zero_point + 1;

        for (int c = 0; c < 4; c++) {
            const int32_t high = ew_scale(sums[c], doubled);
            const int32_t byte = ew_saturate_half(__qadd((high + (high >> 31)) >> right, offset));

            output[at[c]] = layer->bounded ? ew_clamp(byte, 0, layer->low, layer->high) : (int8_t)byte;
        }
    } else {
        for (int c = 0; c < 4; c++) {
            output[at[c]] = ew_clamp(ew_requantize(sums[c], (int32_t)((uint32_t)doubled >> 1), shift), layer->zero_point, layer->low, layer->high);
        }
    }
}

#endif
