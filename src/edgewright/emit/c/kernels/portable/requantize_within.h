/* From a sum to a byte, whatever the shift and the bounds: the one copy for the sums that no faster way takes. */
#ifndef EW_REQUANTIZE_WITHIN_H
#define EW_REQUANTIZE_WITHIN_H

#include "clamp.h"
#include "kernel.h"
#include "requantize.h"

struct ew_bounds {
    int32_t zero_point, low, high;
};

EW_KERNEL int8_t ew_requantize_within(int32_t sum, int32_t multiplier, int32_t shift, const struct ew_bounds *bounds)
{
    return ew_clamp(ew_requantize(sum, multiplier, shift), bounds->zero_point, bounds->low, bounds->high);
}

#endif
