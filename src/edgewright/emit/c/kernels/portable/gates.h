/* Activations of gates in 16 bits: Q3.12 in, Q0.15 out, interpolated in one table of the sigmoid. */
#ifndef EW_GATES_H
#define EW_GATES_H

#include "kernel.h"
#include "requantize.h"

/* The table at `magnitude` / 2**bits, times 2**bits; `end` behind its end. table[n] is 65536 times the sigmoid of n / 24. */
static inline int32_t ew_interpolate(const uint16_t *table, uint32_t magnitude, int32_t bits, int32_t end)
{
    const uint32_t place = magnitude >> bits;
    const uint32_t rest = magnitude & ((1u << bits) - 1u);

    return place >= 255 ? end : (int32_t)(((uint32_t)table[place] << bits) + rest * (uint32_t)(table[place + 1] - table[place]));
}

static inline int32_t ew_logistic(const uint16_t *table, int32_t x)
{
    const int32_t wide = 3 * x;
    const int32_t value = ew_interpolate(table, (uint32_t)(wide < 0 ? -wide : wide), 9, 0x7fff << 10);

    return (wide >= 0 ? value + (1 << 9) : (1 << 25) - value + (1 << 9) - 1) >> 10;
}

/* tanh of x * 2**left. */
static inline int32_t ew_tanh(const uint16_t *table, int32_t x, int32_t left)
{
    const int32_t wide = x * (3 << left);
    const int32_t value = ew_interpolate(table, (uint32_t)(wide < 0 ? -wide : wide), 8, 0xffff << 8);

    return (wide >= 0 ? value - (1 << 23) + (1 << 7) : (1 << 23) - value + (1 << 7) - 1) >> 8;
}

static inline int32_t ew_to_int16(int32_t x)
{
    return x < -32768 ? -32768 : x > 32767 ? 32767 : x;
}

/* A row of weights times a vector of bytes, in Q3.12. */
static inline int32_t ew_gate_sum(const int8_t *weights, const int8_t *input, int32_t length, int32_t sum, int32_t multiplier, int32_t shift)
{
    for (int32_t k = 0; k < length; k++) {
        sum += weights[k] * input[k];
    }
    return ew_to_int16(ew_requantize(sum, multiplier, shift));
}

#endif
