/* Up to eight output positions with all output channels of a group. */
#ifndef EW_MULTIPLY_POSITIONS_H
#define EW_MULTIPLY_POSITIONS_H

#include "sums.h"

/* What each position sees: `segments` runs of `quads` times four bytes; `first` has eight pointers for each. */
struct ew_positions {
    const int8_t *const *first;
    int32_t segments, quads;
};

/* Weights: in blocks of sixteen channels, for each four steps four bytes of each channel; `length` bytes a block. */
struct ew_matrix {
    const int8_t *weights;
    int32_t length, channels;
    struct ew_factors factors;
};

/* Where the results go: `step` bytes apart. */
struct ew_target {
    int8_t *output;
    int32_t step, count;
};

#if defined(EW_AVX512)
#include "multiply_avx512.h"
#elif defined(EW_AVX2)
#include "multiply_avx2.h"
#elif defined(EW_NEON)
#include "multiply_neon.h"
#else
#include "multiply_plain.h"
#endif

#endif
