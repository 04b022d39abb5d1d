/* From a 32-bit sum to the scale of an output: the fixed-point multiplication of the TensorFlow Lite quantization
 * specification, with its double rounding. Exact for every int32. */
#ifndef EW_REQUANTIZE_H
#define EW_REQUANTIZE_H

#include <stdint.h>

/* x * multiplier * 2**(shift - 31); multiplier >= 0, shift from -31 to 30. The product is rounded to the nearest integer
 * (halves up), then divided by 2**-shift and rounded again (halves away from zero). */
static inline int32_t ew_requantize(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t shifted = shift > 0 ? (int32_t)((uint32_t)x << shift) : x;
    const int32_t high = (int32_t)(((int64_t)shifted * multiplier + ((int64_t)1 << 30)) >> 31);

    if (shift >= 0) {
        return high;
    }
    return (((high + (high >> 31)) >> (-shift - 1)) + 1) >> 1;
}

#endif
