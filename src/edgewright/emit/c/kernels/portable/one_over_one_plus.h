/* Reciprocal in fixed point. */
#ifndef EW_ONE_OVER_ONE_PLUS_H
#define EW_ONE_OVER_ONE_PLUS_H

#include "high_multiply.h"
#include "saturating_shift.h"

/* 1 / (1 + x) for x from 0 to 1, both Q0.31: Newton's division, three steps in Q2.29. */
static int32_t ew_one_over_one_plus(int32_t x)
{
    const int32_t half_denominator = (int32_t)(((uint32_t)x + 0x80000000u) >> 1);
    int32_t estimate = 1515870810 + ew_high_multiply(half_denominator, -1010580540);

    for (int step = 0; step < 3; step++) {
        const int32_t error = ((int32_t)1 << 29) - ew_high_multiply(half_denominator, estimate);

        estimate += ew_saturating_shift(ew_high_multiply(estimate, error), 2);
    }
    return ew_saturating_shift(estimate, 1);
}

#endif
