/* A 32-bit number plus a zero point, within bounds, as a byte. */
#ifndef EW_CLAMP_H
#define EW_CLAMP_H

#include <stdint.h>

/* x + zero_point within [low, high]; every x, -128 <= zero_point, low, high <= 127. */
static inline int8_t ew_clamp(int32_t x, int32_t zero_point, int32_t low, int32_t high)
{
    x = x < low - zero_point ? low - zero_point : x;
    x = x > high - zero_point ? high - zero_point : x;
    return (int8_t)(x + zero_point);
}

#endif
