/* A number within bounds, as int16. */
#ifndef EW_CLAMP_16_H
#define EW_CLAMP_16_H

#include <stdint.h>

/* -32768 <= low <= high <= 32767. */
static inline int16_t ew_clamp_16(int32_t x, int32_t low, int32_t high)
{
    return (int16_t)(x < low ? low : x > high ? high : x);
}

#endif
