/* Leading zero bits. */
#ifndef EW_LEADING_ZEROS_H
#define EW_LEADING_ZEROS_H

#include <stdint.h>

/* How many of the highest bits of x are 0; 32 for 0. */
static inline int32_t ew_leading_zeros(uint32_t x)
{
    int32_t zeros = 0;

    while (zeros < 32 && !(x >> 31)) {
        x <<= 1;
        zeros++;
    }
    return zeros;
}

#endif
