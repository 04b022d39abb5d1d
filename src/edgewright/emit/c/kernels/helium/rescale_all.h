/* Rescaling by one factor for all numbers. */
#ifndef EW_RESCALE_ALL_H
#define EW_RESCALE_ALL_H

#include "rescale.h"

/* multiplier * 2**(left + right - 31), left >= 0, right <= 0, one of them 0. `away` is 1 where halves of a negative shift are to go away from
 * zero, and 0 where there are none, or negative results are clamped away. */
struct ew_factor {
    int32_t multiplier, left, right, away;
};

/* `rounding` is 0 where results below the zero point are clamped away. */
static inline struct ew_factor ew_factor_of(int32_t multiplier, int32_t shift, int32_t rounding)
{
    const struct ew_factor factor = {multiplier, shift > 0 ? shift : 0, shift < 0 ? shift : 0, shift < 0 && rounding};

    return factor;
}

/* As ew_requantize, four numbers at a time; left = 0. */
static inline int32x4_t ew_rescale_down(int32x4_t x, struct ew_factor factor)
{
    x = vqrdmulhq_n_s32(x, factor.multiplier);
    x = vmlaq_n_s32(x, vshrq_n_s32(x, 31), factor.away);
    return vrshlq_n_s32(x, factor.right);
}

#endif
