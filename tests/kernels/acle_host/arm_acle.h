/* Arm's C Language Extensions that the kernels use, in portable C: so that the sanitizers can watch the kernels on any computer. */
#ifndef ARM_ACLE_H
#define ARM_ACLE_H

#include <stdint.h>

static inline int32_t ew_acle_low(int32_t x) { return (int16_t)(uint16_t)((uint32_t)x & 0xffffu); }
static inline int32_t ew_acle_high(int32_t x) { return (int16_t)(uint16_t)((uint32_t)x >> 16); }
static inline int32_t ew_acle_pair(int32_t low, int32_t high) { return (int32_t)(((uint32_t)high << 16) | ((uint32_t)low & 0xffffu)); }

static inline int32_t __sxtb16(int32_t x)
{
    return ew_acle_pair((int8_t)(uint8_t)((uint32_t)x & 0xffu), (int8_t)(uint8_t)((uint32_t)x >> 16 & 0xffu));
}

static inline int32_t __sxtab16(int32_t halves, int32_t x)
{
    const int32_t bytes = __sxtb16(x);

    return ew_acle_pair(ew_acle_low(halves) + ew_acle_low(bytes), ew_acle_high(halves) + ew_acle_high(bytes));
}

static inline int32_t __smlad(int32_t a, int32_t b, int32_t sum)
{
    return (int32_t)((uint32_t)sum + (uint32_t)(ew_acle_low(a) * ew_acle_low(b)) + (uint32_t)(ew_acle_high(a) * ew_acle_high(b)));
}

static inline int32_t __smlabb(int32_t a, int32_t b, int32_t sum)
{
    return (int32_t)((uint32_t)sum + (uint32_t)(ew_acle_low(a) * ew_acle_low(b)));
}

static inline int32_t __smlabt(int32_t a, int32_t b, int32_t sum)
{
    return (int32_t)((uint32_t)sum + (uint32_t)(ew_acle_low(a) * ew_acle_high(b)));
}

static inline int32_t __smlatb(int32_t a, int32_t b, int32_t sum)
{
    return (int32_t)((uint32_t)sum + (uint32_t)(ew_acle_high(a) * ew_acle_low(b)));
}

static inline int32_t __smlatt(int32_t a, int32_t b, int32_t sum)
{
    return (int32_t)((uint32_t)sum + (uint32_t)(ew_acle_high(a) * ew_acle_high(b)));
}

static inline int32_t ew_acle_saturate(int64_t x, int64_t low, int64_t high)
{
    return (int32_t)(x < low ? low : x > high ? high : x);
}

/* Four sums of bytes, modulo 256. */
static inline int32_t __sadd8(int32_t a, int32_t b)
{
    const uint32_t x = (uint32_t)a, y = (uint32_t)b;

    return (int32_t)(((x & 0x7f7f7f7fu) + (y & 0x7f7f7f7fu)) ^ ((x ^ y) & 0x80808080u));
}

static inline int32_t __qadd(int32_t a, int32_t b) { return ew_acle_saturate((int64_t)a + b, INT32_MIN, INT32_MAX); }

#define __ssat(x, bits) ew_acle_saturate((x), -((int64_t)1 << ((bits) - 1)), ((int64_t)1 << ((bits) - 1)) - 1)

#endif
