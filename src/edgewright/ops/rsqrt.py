"""Reciprocal square root, as normalizations that are written out have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ops.pointwise import Pointwise, expect_int8
from edgewright.ops.requant import (
    INT32_MAX,
    Multiplier,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
    tensor_quant,
)

EXTRA_BITS = 20
"""The root itself is held with so many bits behind the point, before it goes to the scale of the output."""
NEWTON_STEPS = 5


@dataclass(frozen=True)
class Rsqrt(Pointwise):
    """Input: any shape, not negative. Output: 1 / sqrt(x); at int8 the largest number where x is 0 or below."""

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (torch.rsqrt(inputs[0]),)

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        """TFLM's int8 reference kernel: Newton's iteration in fixed point (GetInvSqrtQuantizedMultiplierExp of internal/common.h)."""
        expect_int8(self, input, output)
        (scale, zero_point), (out_scale, out_zero_point) = tensor_quant(input), tensor_quant(output)
        factor, shift = quantize_multiplier(1.0 / (scale**0.5 * out_scale))
        results = []
        for value in (x.to(torch.int64) - zero_point).reshape(-1).tolist():
            if value <= 0:
                results.append(output.dtype.maximum)
                continue
            root, exponent = _inverse_root(value)
            one = multiply_by_quantized_multiplier(torch.tensor([1]), Multiplier((root,), (EXTRA_BITS - exponent,)))
            results.append(int(multiply_by_quantized_multiplier(one, Multiplier((factor,), (shift - EXTRA_BITS,)))) + out_zero_point)
        steps = torch.tensor(results, dtype=torch.int64).reshape(x.shape)
        return steps.clamp_(output.dtype.minimum, output.dtype.maximum).to(torch.int32)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        low, high = ins[0]
        return (high**-0.5 if high > 0 else 0.0), (low**-0.5 if low > 0 else float("inf"))


def _inverse_root(value: int) -> tuple[int, int]:
    """(raw, right): 1 / sqrt(value) is raw * 2**(-31 - right), for 1 <= value < 2**29."""
    if value == 1:
        return INT32_MAX, 0
    pairs = (32 - value.bit_length() - 1) // 2 - 1
    right = 11 - pairs
    half = torch.tensor([value << (2 * pairs)]) >> 1
    quarter = rounding_divide_by_pot(half, 1)
    x = torch.tensor([1 << 28])
    for _ in range(NEWTON_STEPS):
        # Products of Q3.28 numbers come with 6 and 9 bits before the point.
        cube = _from_q(_mul(_mul(x, x), x), 6)
        x = _from_q(_mul(torch.tensor([(1 << 28) + (1 << 27)]), x) - _mul(quarter, cube), 3)
    raw = int(_mul(x, torch.tensor([1518500250])))
    return (raw << -right, 0) if right < 0 else (raw, right)


def _mul(a: Tensor, b: Tensor) -> Tensor:
    return saturating_rounding_doubling_high_mul(a, b)


def _from_q(x: Tensor, bits: int) -> Tensor:
    """x * 2**bits, saturated to int32."""
    return (x << bits).clamp(-INT32_MAX - 1, INT32_MAX)
