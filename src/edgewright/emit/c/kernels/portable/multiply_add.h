/* One multiply-accumulate, with the wrap of a 32-bit register and without undefined behaviour. */
#ifndef EW_MULTIPLY_ADD_H
#define EW_MULTIPLY_ADD_H

#include <stdint.h>

/* sum + a * b, modulo 2**32; abs(a * b) < 2**31. */
static inline int32_t ew_multiply_add(int32_t sum, int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)sum + (uint32_t)(a * b));
}

#endif
