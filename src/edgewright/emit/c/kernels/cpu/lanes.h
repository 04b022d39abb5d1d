/* Which vector instructions there are: the compiler's macros say it. -DEW_NO_VECTORS does without any, at a price. */
#ifndef EW_LANES_H
#define EW_LANES_H

#include <stdint.h>
#include <string.h>

#include "kernel.h"

#if defined(EW_NO_VECTORS)
#elif defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && UINTPTR_MAX > 0xFFFFFFFFu
#define EW_AVX512
#elif defined(__AVX2__)
#define EW_AVX2
#elif defined(__SSE2__)
#define EW_SSE2
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(__ARM_BIG_ENDIAN)
#define EW_NEON
#endif
#if defined(EW_AVX512) || defined(EW_AVX2) || defined(EW_SSE2)
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

#if defined(EW_SSE2)
/* Bytes 0 to 7, and 8 to 15, as halves. */
static inline __m128i ew_low_halves(__m128i bytes) { return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8); }
static inline __m128i ew_high_halves(__m128i bytes) { return _mm_srai_epi16(_mm_unpackhi_epi8(bytes, bytes), 8); }

/* Words 0 and 2, and 1 and 3, of each. */
static inline __m128i ew_even_words(__m128i a, __m128i b)
{
    return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), 0x88));
}
static inline __m128i ew_odd_words(__m128i a, __m128i b)
{
    return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), 0xDD));
}
#endif

#endif
