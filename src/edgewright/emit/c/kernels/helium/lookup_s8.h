/* Any function of one int8, from a table, with Helium. */
#ifndef EW_LOOKUP_S8_H
#define EW_LOOKUP_S8_H

#include <arm_mve.h>

#include "kernel.h"

/* table[x + 128] is the result for x. */
struct ew_lookup_s8 {
    int32_t count;
    const int8_t *table;
};

/* `output` may be `input`. */
EW_KERNEL void ew_lookup_s8(const struct ew_lookup_s8 *layer, const int8_t *input, int8_t *output)
{
    const int8_t *table = layer->table;

    for (int32_t count = layer->count; count > 0; count -= 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)count);
        const uint8x16_t index = vreinterpretq_u8_s8(vaddq_n_s8(vldrbq_z_s8(input, lanes), -128));

        vstrbq_p_s8(output, vldrbq_gather_offset_z_s8(table, index, lanes), lanes);
        input += 16;
        output += 16;
    }
}

#endif
