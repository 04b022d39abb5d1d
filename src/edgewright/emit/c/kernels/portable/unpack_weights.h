/* Weights from indices of a few bits. */
#ifndef EW_UNPACK_WEIGHTS_H
#define EW_UNPACK_WEIGHTS_H

#include <stdint.h>

#include "kernel.h"

/* Indices of `bits` (1, 2 or 4) bits into `values`; step: the distance of all neighbouring values where it is the same, else 0. */
struct ew_packing {
    int32_t bits, step;
    const int8_t *values;
};

/* The words of 32 bits that `count` indices take. */
static inline int32_t ew_packed_words(const struct ew_packing *packing, int32_t count)
{
    return (count * packing->bits + 31) / 32;
}

/* `words` times 32 / bits weights. Of four bytes, the lowest bits of each are the first four indices, the next bits the next four, and so on.
 * Returns the end of the indices. */
EW_KERNEL const uint8_t *ew_unpack_weights(const struct ew_packing *packing, const uint8_t *indices, int32_t words, int8_t *to)
{
    const int32_t bits = packing->bits, mask = (1 << bits) - 1;

    for (; words > 0; words--) {
        for (int32_t shift = 0; shift < 8; shift += bits) {
            for (int32_t i = 0; i < 4; i++) {
                *to++ = packing->values[indices[i] >> shift & mask];
            }
        }
        indices += 4;
    }
    return indices;
}

#endif
