/* Logarithm in fixed point. */
#ifndef EW_LOG_AT_LEAST_ONE_H
#define EW_LOG_AT_LEAST_ONE_H

#include "leading_zeros.h"
#include "one_over_one_plus.h"
#include "round_shift.h"

/* log(x) in Q5.26 for x >= 1 in Q12.19. The method and its constants are those of the reference kernels of log softmax. */
static int32_t ew_log_at_least_one(int32_t x)
{
    const int32_t log_2 = 1488522236, sqrt_sqrt_half = 1805811301, sqrt_half = 1518500250;
    const int32_t alpha_n = 117049297, alpha_d = 127690142, alpha_i = 1057819769, alpha_f = 638450708;
    const int32_t bits = 6, quarter = (int32_t)1 << 23;
    const int32_t zeros = ew_leading_zeros((uint32_t)x);
    const int32_t other_zeros = ew_leading_zeros((uint32_t)ew_high_multiply(x, sqrt_half)) - 1;
    const int32_t first = ew_saturating_shift(ew_high_multiply(ew_saturating_shift(x, zeros - 1), sqrt_half), 1);
    const int32_t second = ew_saturating_shift(x, other_zeros);
    const int32_t first_power = ew_saturating_shift(12 - zeros, 31 - bits) + quarter;
    const int32_t second_power = ew_saturating_shift(12 - other_zeros, 31 - bits) - quarter;
    const int32_t r = first < second ? first : second;
    const int32_t power = first_power > second_power ? first_power : second_power;
    const int32_t p = (int32_t)(((int64_t)r + sqrt_sqrt_half + 1) / 2);
    const int32_t q = 2 * (r - sqrt_sqrt_half);
    const int32_t square = ew_high_multiply(q, q);
    const int32_t numerator = ew_high_multiply(q, r) + ew_high_multiply(ew_high_multiply(q, square), alpha_n);
    const int32_t denominator = ew_high_multiply(p, alpha_i + q + ew_high_multiply(square, alpha_d)) + ew_high_multiply(q, alpha_f);
    const int32_t fraction = ew_high_multiply(ew_round_shift(numerator, bits), ew_one_over_one_plus(denominator));

    return ew_saturating_shift(ew_high_multiply(power, log_2) + fraction, 1);
}

#endif
