/* Which vector instructions there are: the compiler's macros say it. */
#ifndef EW_LANES_H
#define EW_LANES_H

#include <stdint.h>
#include <string.h>

#include "kernel.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && UINTPTR_MAX > 0xFFFFFFFFu
#define EW_AVX512
#elif defined(__AVX2__)
#define EW_AVX2
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(__ARM_BIG_ENDIAN)
#define EW_NEON
#endif
#if defined(EW_AVX512) || defined(EW_AVX2)
#include <immintrin.h>
#elif defined(EW_NEON)
#include <arm_neon.h>
#endif

/* Output channels that are computed at once. */
#define EW_LANES 16

/* Output positions that are computed at once, up to. */
#define EW_POSITIONS 8

/* Windows of up to this many pixels are read where they lie. */
#define EW_MOST_TAPS 64

/* Before a loop of a known number of steps over vectors: without it GCC takes them through memory. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 8
#define EW_UNROLL _Pragma("GCC unroll 16")
#else
#define EW_UNROLL
#endif

/* Four bytes from any address. */
static inline int32_t ew_load_4(const int8_t *from)
{
    int32_t word;

    EW_COPY_4(&word, from);
    return word;
}

#endif
