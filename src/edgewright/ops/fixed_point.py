"""Exponential, reciprocal and logarithm in 32-bit fixed point, exactly as the reference kernels of Softmax and LogSoftmax compute them.

Source: gemmlowp's fixedpoint.h and TFLM's internal/common.h. A Qm.f number is a raw integer over 2**f with m + f = 31.
Tensors are torch.int64 within the int32 range, raw values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewright.errors import ModelError
from edgewright.ops.requant import (
    INT32_MAX,
    INT32_MIN,
    Multiplier,
    quantize_multiplier,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
    wrap_int32,
)

INTEGER_BITS = 5
"""Differences to the largest input are held in Q5.26."""
SUM_INTEGER_BITS = 12
"""Sums of exponentials are held in Q12.19."""
EXPONENTIALS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
"""exp(-2**k) in Q0.31 for k = -2 … 4."""


@dataclass(frozen=True)
class ExpInput:
    """How a difference of inputs becomes Q5.26: its factor, and the smallest (most negative) difference whose exponential counts."""

    multiplier: Multiplier
    smallest_difference: int


def exp_input(beta: float, scale: float) -> ExpInput:
    """The factor beta * scale in Q5.26, for inputs of ``scale``, as TFLM derives it; the double of it must be above 1."""
    factor = min(beta * scale * (1 << (31 - INTEGER_BITS)), (1 << 31) - 1.0)
    if not factor > 1.0:
        raise ModelError(f"input scale {scale:g} with beta {beta:g} is too small for the integer softmax",
                         hint="its input is always near zero; calibrate with other data")
    half, shift = quantize_multiplier(factor / 2)
    shift += 1
    return ExpInput(Multiplier((half,), (shift,)), -math.floor(((1 << INTEGER_BITS) - 1) * (1 << (31 - INTEGER_BITS)) / (1 << shift)))


def scaled_difference(difference: Tensor, parameters: ExpInput) -> Tensor:
    """``difference`` (not below the smallest that counts) in Q5.26."""
    return _mul(wrap_int32(difference << parameters.multiplier.shift[0]), parameters.multiplier.multiplier[0])


def exp_on_negative(x: Tensor, integer_bits: int = INTEGER_BITS) -> Tensor:
    """exp of ``x`` <= 0 with ``integer_bits`` (at most 5) before the point, Q5.26 by default; in Q0.31."""
    one_quarter = 1 << (31 - integer_bits - 2)
    low = (x & (one_quarter - 1)) - one_quarter
    result = _exp_below_quarter(_shift_left(low, integer_bits))
    remainder = low - x
    for index, factor in enumerate(EXPONENTIALS[:integer_bits + 2]):
        result = torch.where((remainder & (one_quarter << index)) != 0, _mul(result, factor), result)
    return torch.where(x == 0, INT32_MAX, result)


def _exp_below_quarter(x: Tensor) -> Tensor:
    """exp on [-1/4, 0), Q0.31: a Taylor expansion around -1/8."""
    at_centre, third = 1895147668, 715827883
    x1 = x + (1 << 28)
    x2 = _mul(x1, x1)
    x3 = _mul(x2, x1)
    x4_over_4 = rounding_divide_by_pot(_mul(x2, x2), 2)
    rest = rounding_divide_by_pot(_mul(x4_over_4 + x3, third) + x2, 1)
    return at_centre + _mul(x1 + rest, at_centre)


def sum_of_exps(exps: Tensor, counted: Tensor) -> Tensor:
    """The sum in Q12.19 over the last axis (kept, size 1) of Q0.31 ``exps`` where ``counted``."""
    terms = rounding_divide_by_pot(exps, SUM_INTEGER_BITS)
    return wrap_int32(torch.where(counted, terms, 0).sum(-1, keepdim=True))


def reciprocal(x: Tensor) -> tuple[Tensor, Tensor]:
    """(raw, bits): 1 / x for Q12.19 ``x`` >= 1 is raw * 2**-bits in Q0.31."""
    headroom = _leading_zeros(x)
    minus_one = wrap_int32(x << headroom) + (1 << 31)
    return _one_over_one_plus(wrap_int32(minus_one)), SUM_INTEGER_BITS - headroom


def _one_over_one_plus(x: Tensor) -> Tensor:
    """1 / (1 + x) for x in [0, 1), Q0.31."""
    return _shift_left(_two_over_one_plus(x), 1)


def _two_over_one_plus(x: Tensor) -> Tensor:
    """2 / (1 + x) for x in [0, 1), Q0.31, in Q2.29: three steps of Newton's division."""
    half_denominator = (x + INT32_MAX + 1) >> 1
    estimate = 1515870810 + _mul(half_denominator, -1010580540)
    for _ in range(3):
        error = (1 << 29) - _mul(half_denominator, estimate)
        estimate = estimate + _shift_left(_mul(estimate, error), 2)
    return estimate


def logistic(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)) of Q4.27 ``x``, in Q0.31."""
    positive = _one_over_one_plus(exp_on_negative(-x.abs(), 4))
    return torch.where(x == 0, 1 << 30, torch.where(x > 0, positive, INT32_MAX - positive))


def hyperbolic_tangent(x: Tensor) -> Tensor:
    """tanh of Q4.27 ``x``, in Q0.31."""
    # The raw number of x in Q4.27 is that of 2 * x in Q5.26.
    magnitude = _shift_left(_two_over_one_plus(exp_on_negative(-x.abs(), 5)) - (1 << 29), 2)
    return torch.where(x == 0, 0, torch.where(x > 0, magnitude, -magnitude))


def log_at_least_one(x: Tensor) -> Tensor:
    """log of Q12.19 ``x`` >= 1, in Q5.26."""
    log_2, sqrt_sqrt_half, sqrt_half = 1488522236, 1805811301, 1518500250
    alpha_n, alpha_d, alpha_i, alpha_f = 117049297, 127690142, 1057819769, 638450708
    bits = INTEGER_BITS + 1
    quarter = 1 << (29 - bits)
    zeros = _leading_zeros(x)
    first = _shift_left(_mul(_shift_left(x, zeros - 1), sqrt_half), 1)
    first_power = (_shift_left(SUM_INTEGER_BITS - zeros, 31 - bits) + quarter).clamp(INT32_MIN, INT32_MAX)
    zeros = _leading_zeros(_mul(x, sqrt_half)) - 1
    second = _shift_left(x, zeros)
    second_power = (_shift_left(SUM_INTEGER_BITS - zeros, 31 - bits) - quarter).clamp(INT32_MIN, INT32_MAX)
    r, power = torch.minimum(first, second), torch.maximum(first_power, second_power)
    p = torch.div(r + sqrt_sqrt_half + 1, 2, rounding_mode="trunc")
    q = 2 * (r - sqrt_sqrt_half)
    square = _mul(q, q)
    numerator = _mul(q, r) + _mul(_mul(q, square), alpha_n)
    denominator = _mul(p, alpha_i + q + _mul(square, alpha_d)) + _mul(q, alpha_f)
    fraction = _mul(rounding_divide_by_pot(numerator, bits), _one_over_one_plus(denominator))
    return _shift_left(_mul(power, log_2) + fraction, 1)


def _mul(a: Tensor, b: Tensor | int) -> Tensor:
    return saturating_rounding_doubling_high_mul(a, b)


def _shift_left(x: Tensor, bits: Tensor | int) -> Tensor:
    """x * 2**bits, saturated to int32."""
    return (x << bits).clamp(INT32_MIN, INT32_MAX)


def _leading_zeros(x: Tensor) -> Tensor:
    """Leading zero bits of positive ``x`` as a 32-bit number."""
    return 32 - torch.frexp(x.to(torch.float64)).exponent.to(torch.int64)
