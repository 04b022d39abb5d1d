/* The high word of a product. */
#ifndef EW_HIGH_WORD_H
#define EW_HIGH_WORD_H

#include <stdint.h>

static inline int32_t ew_high_word(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b) >> 32);
}

#endif
