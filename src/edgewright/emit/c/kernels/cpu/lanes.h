/* Which vector instructions there are: the compiler's macros say it. */
#ifndef EW_LANES_H
#define EW_LANES_H

#include <stdint.h>
#include <string.h>

#include "kernel.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#define EW_AVX512
#elif defined(__AVX2__)
#define EW_AVX2
#endif
#if defined(EW_AVX512) || defined(EW_AVX2)
#include <immintrin.h>
#endif

/* Output channels that are computed at once. */
#define EW_LANES 16

/* Four bytes from any address. */
static inline int32_t ew_load_4(const int8_t *from)
{
    int32_t word;

    EW_COPY_4(&word, from);
    return word;
}

#endif
