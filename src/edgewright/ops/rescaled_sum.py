"""The integer arithmetic of Add and Sub: both operands are brought to twice the larger scale with extra bits, summed, and rescaled.

Source: the general quantized addition of TFLM's reference kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Value
from edgewright.ops.requant import (
    Multiplier,
    activation_range,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    requantize,
    tensor_quant,
)

PAIRS = 1 << 16
"""Pairs of int8 operands."""


@dataclass(frozen=True)
class SumMultipliers:
    """Operands are shifted left by ``left_shift`` bits, scaled by ``first`` and ``second``, added, and the sum is scaled by ``output``."""

    left_shift: int
    first: Multiplier
    second: Multiplier
    output: Multiplier


def sum_multipliers(ins: Sequence[Value], out: Value) -> SumMultipliers:
    """The factors as TFLM's Prepare derives them, in double."""
    left_shift = 15 if out.dtype is DType.INT16 else 20
    first, second, output = (tensor_quant(value)[0] for value in (*ins, out))
    twice = 2 * max(first, second)
    factors = (first / twice, second / twice, twice / ((1 << left_shift) * output))
    if not factors[2] < 1:
        raise ModelError(f"the scale {output:g} of {out.name!r} is too small for the sum of scales {first:g} and {second:g}",
                         hint="calibrate with data that exercise this output; it is always near zero")
    pairs = [quantize_multiplier(factor) for factor in factors]
    return SumMultipliers(left_shift, *(Multiplier((fixed,), (shift,)) for fixed, shift in pairs))


def rescaled_sum(
    inputs: Sequence[Tensor], ins: Sequence[Value], out: Value, factors: SumMultipliers, activation: str, sign: int = 1
) -> Tensor:
    """first + sign * second as torch.int32 on the grid of ``out``."""
    (first, second), (low, high) = inputs, activation_range(activation, out)
    settings = _Sum(factors, tensor_quant(ins[0])[1], tensor_quant(ins[1])[1], sign, tensor_quant(out)[1], low, high)
    if max(first.numel(), second.numel()) < PAIRS or any(value.dtype.bits > 8 for value in ins):
        return settings(first, second)
    index = torch.add(second, first, alpha=256).add_(128 * 256 + 128)
    return _table(settings).index_select(0, index.reshape(-1)).reshape(index.shape)


@dataclass(frozen=True)
class _Sum:
    """A sum with everything but its operands."""

    factors: SumMultipliers
    first_zero_point: int
    second_zero_point: int
    sign: int
    zero_point: int
    low: int
    high: int

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        left = self.factors.left_shift
        a = multiply_by_quantized_multiplier((first.to(torch.int64) - self.first_zero_point) << left, self.factors.first)
        b = multiply_by_quantized_multiplier((second.to(torch.int64) - self.second_zero_point) << left, self.factors.second)
        return requantize(a + self.sign * b, self.factors.output, self.zero_point, self.low, self.high)


@functools.lru_cache(maxsize=64)
def _table(settings: _Sum) -> Tensor:
    """The sums of all pairs of int8 operands: for large tensors, looking up is several times as fast as computing."""
    every = torch.arange(-128, 128)
    return settings(every[:, None], every).reshape(-1)
