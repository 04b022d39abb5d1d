/* Arithmetic on two or four numbers in a register (Armv7E-M, Armv8-M with the DSP extension). */
#ifndef EW_SIMD_H
#define EW_SIMD_H

#include <arm_acle.h>
#include <stdint.h>

#include "kernel.h"

/* Four bytes from any address. */
static inline int32_t ew_load(const int8_t *from)
{
    int32_t word;

    EW_COPY_4(&word, from);
    return word;
}

/* Bytes 0 and 2 of a word as two signed halves. */
static inline int32_t ew_even(int32_t word)
{
    return (int32_t)__sxtb16(word);
}

/* Bytes 1 and 3 of a word as two signed halves. */
static inline int32_t ew_odd(int32_t word)
{
#if defined(__ARM_FEATURE_DSP)
    int32_t halves;

    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(word));
    return halves;
#else
    return (int32_t)__sxtb16((int32_t)((uint32_t)word >> 8 | (uint32_t)word << 24));
#endif
}

/* sum + low(a) * low(b) + high(a) * high(b), modulo 2**32. */
static inline int32_t ew_dot(int32_t a, int32_t b, int32_t sum)
{
    return (int32_t)__smlad(a, b, sum);
}

/* sum + low(a) * low(b), sum + low(a) * high(b) and sum + high(a) * low(b), modulo 2**32. */
static inline int32_t ew_dot_low_low(int32_t a, int32_t b, int32_t sum)
{
    return (int32_t)__smlabb(a, b, sum);
}

static inline int32_t ew_dot_low_high(int32_t a, int32_t b, int32_t sum)
{
    return (int32_t)__smlabt(a, b, sum);
}

static inline int32_t ew_dot_high_low(int32_t a, int32_t b, int32_t sum)
{
    return (int32_t)__smlatb(a, b, sum);
}

static inline int32_t ew_dot_high_high(int32_t a, int32_t b, int32_t sum)
{
    return (int32_t)__smlatt(a, b, sum);
}

/* Two numbers of 16 bits in a word. */
static inline int32_t ew_halves(int32_t low, int32_t high)
{
    return (int32_t)(((uint32_t)low & 0xffffu) | (uint32_t)high << 16);
}

/* x * multiplier / 2**31 rounded to the nearest integer (halves up), for `doubled` = 2 * multiplier modulo 2**32 and
 * 2**30 <= multiplier < 2**31: as a signed number, `doubled` is 2 * multiplier - 2**32. */
static inline int32_t ew_scale(int32_t x, int32_t doubled)
{
#if defined(__ARM_FEATURE_DSP)
    int32_t high;

    __asm__("smmlar %0, %1, %2, %1" : "=r"(high) : "r"(x), "r"(doubled));
    return high;
#else
    return (int32_t)(((int64_t)x * (int64_t)((uint32_t)doubled >> 1) + ((int64_t)1 << 30)) >> 31);
#endif
}

/* x / 2, rounded down, held within int8. */
static inline int32_t ew_saturate_half(int32_t x)
{
#if defined(__ARM_FEATURE_DSP)
    int32_t byte;

    __asm__("ssat %0, #8, %1, asr #1" : "=r"(byte) : "r"(x));
    return byte;
#else
    return (int32_t)__ssat(x >> 1, 8);
#endif
}

/* The output for the sum x as ew_requantize and ew_clamp give it, where the bounds are those of int8: `doubled` as for ew_scale,
 * right = -1 - shift, offset = 2 * zero_point + 1. */
static inline int32_t ew_rescale(int32_t x, int32_t doubled, int32_t right, int32_t offset)
{
    const int32_t high = ew_scale(x, doubled);

    return ew_saturate_half(__qadd((high + (high >> 31)) >> right, offset));
}

#endif
