/* Sums of sixteen output channels in plain C, and their way to bytes. */
#ifndef EW_SUMS_PLAIN_H
#define EW_SUMS_PLAIN_H

#include "clamp.h"
#include "requantize.h"

typedef struct {
    int32_t lane[EW_LANES];
} ew_sums;

struct ew_scaling {
    const struct ew_factors *factors;
    int32_t channel;
};

static inline struct ew_scaling ew_scaling_of(const struct ew_factors *factors, int32_t channel)
{
    const struct ew_scaling scaling = {factors, channel};

    return scaling;
}

/* The first `count` of the sixteen, as bytes. */
static inline void ew_put_sums(const struct ew_scaling *scaling, ew_sums sums, int8_t *output, int32_t count)
{
    const struct ew_factors *factors = scaling->factors;

    for (int32_t i = 0; i < count; i++) {
        const int32_t channel = scaling->channel + i;

        output[i] = ew_clamp(ew_requantize(sums.lane[i], factors->multiplier[channel], factors->shift[channel]), factors->zero_point,
                             factors->low, factors->high);
    }
}

static inline ew_sums ew_bias_of(const struct ew_factors *factors, int32_t channel)
{
    ew_sums sums;

    memcpy(sums.lane, factors->bias + channel, sizeof sums.lane);
    return sums;
}

#endif
