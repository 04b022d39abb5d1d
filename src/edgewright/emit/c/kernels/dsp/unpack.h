/* Bytes of one column as halves, in the place that ew_dot_2x4 reads them from. */
#ifndef EW_UNPACK_H
#define EW_UNPACK_H

#include "simd.h"

/* `quads` times four bytes; column c of four starts at `to` = columns + c. Returns where the column goes on. */
static inline int32_t *ew_unpack(const int8_t *restrict from, int32_t quads, int32_t *restrict to)
{
    for (; quads > 0; quads--) {
        const int32_t word = ew_load(from);

        to[0] = ew_even(word);
        to[4] = ew_odd(word);
        from += 4;
        to += 8;
    }
    return to;
}

#endif
