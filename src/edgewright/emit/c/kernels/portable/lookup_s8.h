/* Any function of one int8, from a table. */
#ifndef EW_LOOKUP_S8_H
#define EW_LOOKUP_S8_H

#include <stdint.h>

#include "kernel.h"

/* table[x + 128] is the result for x. */
struct ew_lookup_s8 {
    int32_t count;
    const int8_t *table;
};

/* `output` may be `input`. */
EW_KERNEL void ew_lookup_s8(const struct ew_lookup_s8 *layer, const int8_t *input, int8_t *output)
{
    for (int32_t i = 0; i < layer->count; i++) {
        output[i] = layer->table[input[i] + 128];
    }
}

#endif
