/* Weights from indices of a few bits, four at a time where they can be computed. */
#ifndef EW_UNPACK_WEIGHTS_H
#define EW_UNPACK_WEIGHTS_H

#include "kernel.h"
#include "simd.h"

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

/* Four values: base + step * index, byte by byte. */
static inline int8_t *ew_put_values(int8_t *to, uint32_t indices, uint32_t step, uint32_t base)
{
    const uint32_t values = (uint32_t)__sadd8((int32_t)(indices * step), (int32_t)base);

    EW_COPY_4(to, &values);
    return to + 4;
}

/* `words` (at least one) times 32 / bits weights. Of four bytes, the lowest bits of each are the first four indices, the next bits the next
 * four, and so on. Returns the end of the indices. */
EW_KERNEL const uint8_t *ew_unpack_weights(const struct ew_packing *packing, const uint8_t *indices, int32_t words, int8_t *to)
{
    const int8_t *const values = packing->values;
    const uint8_t *const end = indices + 4 * words;
    const int32_t bits = packing->bits;
    const uint32_t step = (uint32_t)packing->step, base = (uint8_t)values[0] * 0x01010101u;
    const uint32_t mask = ((1u << bits) - 1) * 0x01010101u;

    if (bits == 4 && step == 1) {
        do {
            uint32_t word;

            EW_COPY_4(&word, indices);
            indices += 4;
            to = ew_put_values(to, word & 0x0f0f0f0fu, 1, base);
            to = ew_put_values(to, word >> 4 & 0x0f0f0f0fu, 1, base);
        } while (indices != end);
        return indices;
    }
    do {
        uint32_t word;

        EW_COPY_4(&word, indices);
        indices += 4;
        if (step != 0) {
            for (int32_t shift = 0; shift < 8; shift += bits) {
                to = ew_put_values(to, word >> shift & mask, step, base);
            }
        } else {
            for (int32_t shift = 0; shift < 8; shift += bits) {
                const uint32_t four = word >> shift & mask;

                to[0] = values[four & 0xff];
                to[1] = values[four >> 8 & 0xff];
                to[2] = values[four >> 16 & 0xff];
                to[3] = values[four >> 24];
                to += 4;
            }
        }
    } while (indices != end);
    return indices;
}

#endif
