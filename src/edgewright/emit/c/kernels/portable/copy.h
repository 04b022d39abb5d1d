/* Copy of a part of a tensor to a part of another: concatenation, slices, padding, transposition. */
#ifndef EW_COPY_H
#define EW_COPY_H

#include <stdint.h>
#include <string.h>

#include "kernel.h"

/* sizes[0] x ... x sizes[3] runs of `run` adjacent bytes; steps are in bytes, 0 or negative ones too. */
struct ew_copy {
    int32_t sizes[4], from_step[4], to_step[4];
    int32_t run;
};

EW_KERNEL void ew_copy(const struct ew_copy *layer, const void *from, void *to)
{
    const int32_t *sizes = layer->sizes;

    for (int32_t outer = 0; outer < sizes[0] * sizes[1] * sizes[2]; outer++) {
        const int32_t i = outer / (sizes[1] * sizes[2]);
        const int32_t j = outer / sizes[2] % sizes[1];
        const int32_t k = outer % sizes[2];
        const char *a = (const char *)from + i * layer->from_step[0] + j * layer->from_step[1] + k * layer->from_step[2];
        char *b = (char *)to + i * layer->to_step[0] + j * layer->to_step[1] + k * layer->to_step[2];

        for (int32_t n = 0; n < sizes[3]; n++) {
            if (layer->run == 1) {
                *b = *a;
            } else {
                memcpy(b, a, (size_t)layer->run);
            }
            a += layer->from_step[3];
            b += layer->to_step[3];
        }
    }
}

#endif
