/* Square root of a 64-bit integer, rounded down. */
#ifndef EW_SQUARE_ROOT_H
#define EW_SQUARE_ROOT_H

#include "kernel.h"

/* Digit by digit, as on paper; x below 2**62. */
EW_KERNEL uint32_t ew_square_root(uint64_t x)
{
    uint64_t root = 0;

    for (uint64_t digit = (uint64_t)1 << 60; digit != 0; digit >>= 2) {
        if (x >= root + digit) {
            x -= root + digit;
            root = (root >> 1) + digit;
        } else {
            root >>= 1;
        }
    }
    return (uint32_t)root;
}

#endif
