/* Sums of sixteen output channels, and their way to bytes. */
#ifndef EW_SUMS_H
#define EW_SUMS_H

#include "lanes.h"

/* One number for each output channel, sixteen for each block of them. `bias` allows for the zero point of the input; `excess` is 128 times
 * the sum of a channel's weights, for instructions that take inputs as unsigned bytes, 128 added to each. `simple`: all shifts are below 0, and
 * the sums stay below 2**30. */
struct ew_factors {
    const int32_t *bias, *excess, *multiplier;
    const int8_t *shift;
    int32_t simple, zero_point, low, high;
};

#if defined(EW_AVX512)
#include "sums_avx512.h"
#elif defined(EW_AVX2)
#include "sums_avx2.h"
#elif defined(EW_NEON)
#include "sums_neon.h"
#else
#include "sums_plain.h"
#endif

#endif
