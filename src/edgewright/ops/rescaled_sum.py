"""The integer arithmetic of Add and Sub: both operands are brought to twice the larger scale with extra bits, summed, and rescaled.

Source: the general quantized addition of TFLM's reference kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Value
from edgewright.ops.requant import Multiplier, activation_range, multiply_by_quantized_multiplier, quantize_multiplier, requantize, tensor_quant


@dataclass(frozen=True)
class SumMultipliers:
    """Operands are shifted left by ``left_shift`` bits, scaled by ``first`` and ``second``, added, and the sum is scaled by ``output``."""

    left_shift: int
    first: Multiplier
    second: Multiplier
    output: Multiplier


def sum_multipliers(ins: Sequence[Value], out: Value, *, single: bool) -> SumMultipliers:
    """The factors as TFLM's Prepare derives them: in double for Add, in float32 (``single``) for Sub."""
    left_shift = 15 if out.dtype is DType.INT16 else 20
    kind = np.float32 if single else np.float64
    first, second, output = (kind(tensor_quant(value)[0]) for value in (*ins, out))
    twice = kind(2) * max(first, second)
    factors = (first / twice, second / twice, twice / (kind(1 << left_shift) * output))
    if not factors[2] < 1:
        raise ModelError(f"the scale {output:g} of {out.name!r} is too small for the sum of scales {first:g} and {second:g}",
                         hint="calibrate with data that exercise this output; it is always near zero")
    pairs = [quantize_multiplier(float(factor)) for factor in factors]
    return SumMultipliers(left_shift, *(Multiplier((fixed,), (shift,)) for fixed, shift in pairs))


def rescaled_sum(inputs: Sequence[Tensor], ins: Sequence[Value], out: Value, factors: SumMultipliers, activation: str, sign: int = 1) -> Tensor:
    """first + sign * second as torch.int32 on the grid of ``out``."""
    scaled = [multiply_by_quantized_multiplier((x - tensor_quant(value)[1]).to(torch.int64) << factors.left_shift, factor)
              for x, value, factor in zip(inputs, ins, (factors.first, factors.second), strict=True)]
    low, high = activation_range(activation, out)
    return requantize(scaled[0] + sign * scaled[1], factors.output, tensor_quant(out)[1], low, high)
