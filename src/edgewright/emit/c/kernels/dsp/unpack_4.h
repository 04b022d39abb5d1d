/* Bytes of four columns as halves, side by side as ew_multiply_pairs reads them. */
#ifndef EW_UNPACK_4_H
#define EW_UNPACK_4_H

#include "kernel.h"
#include "simd.h"

/* `rows` times `quads` (both at least one) times four bytes from each of four addresses, which go on `skip` bytes behind the end of a row.
 * Returns where the columns go on. */
EW_KERNEL int32_t *ew_unpack_4(const int8_t *const from[4], int32_t rows, int32_t quads, int32_t skip, int32_t *to)
{
    const int8_t *f0 = from[0], *f1 = from[1], *f2 = from[2], *f3 = from[3];

    for (;;) {
        int32_t *const end = to + 8 * quads;

        do {
            const int32_t w0 = ew_load(f0), w1 = ew_load(f1), w2 = ew_load(f2), w3 = ew_load(f3);

            to[0] = ew_even(w0);
            to[1] = ew_even(w1);
            to[2] = ew_even(w2);
            to[3] = ew_even(w3);
            to[4] = ew_odd(w0);
            to[5] = ew_odd(w1);
            to[6] = ew_odd(w2);
            to[7] = ew_odd(w3);
            f0 += 4;
            f1 += 4;
            f2 += 4;
            f3 += 4;
            to += 8;
        } while (to != end);
        if (--rows == 0) {
            return to;
        }
        f0 += skip;
        f1 += skip;
        f2 += skip;
        f3 += skip;
    }
}

#endif
