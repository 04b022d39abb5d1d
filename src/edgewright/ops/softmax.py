"""Softmax over the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewright.ir.dtype import DType
from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Operator, expect
from edgewright.ops.fixed_point import ExpInput, exp_input, exp_on_negative, reciprocal, scaled_difference, sum_of_exps
from edgewright.ops.gates import UNIT_SCALE
from edgewright.ops.requant import rounding_divide_by_pot, saturating_rounding_doubling_high_mul, tensor_quant
from edgewright.ops.wide_softmax import wide_softmax


@dataclass(frozen=True)
class Softmax(Operator):
    """Input: (..., C). Output: exp(beta * x), normalized to sum 1 along the last axis."""

    beta: float = 1.0

    takes_int16: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        expect(inputs[0].rank >= 1 and inputs[0].shape[-1] != 0, self, f"it needs a last axis, got shape {inputs[0].shape}")
        return (inputs[0].shape,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (torch.softmax(inputs[0] * self.beta, -1),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        """TFLM's reference kernels. At int8: exponentials in Q0.31, their sum in Q12.19, its reciprocal by three steps of Newton."""
        if ins[0].dtype.bits > 8 or outs[0].dtype.bits > 8:
            return (wide_softmax(inputs[0], self.beta, ins[0], outs[0]),)
        x = inputs[0].to(torch.int64)
        parameters = self.parameters(ins)
        difference = x - x.amax(-1, keepdim=True)
        counted = difference >= parameters.smallest_difference
        exps = exp_on_negative(scaled_difference(difference.clamp(min=parameters.smallest_difference), parameters))
        scale, bits_over_unit = reciprocal(sum_of_exps(exps, counted))
        out = rounding_divide_by_pot(saturating_rounding_doubling_high_mul(scale, exps), bits_over_unit + 31 - outs[0].dtype.bits)
        low, high = outs[0].dtype.minimum, outs[0].dtype.maximum
        return (torch.where(counted, (out + low).clamp_(low, high), low).to(torch.int32),)

    def parameters(self, ins: Sequence[Value]) -> ExpInput:
        """The fixed-point factor of the differences and the smallest difference that counts."""
        return exp_input(self.beta, tensor_quant(ins[0])[0])

    def reach(self) -> float | None:
        """exp(-16) is a ten-millionth of the greatest: less than any grid of the output tells from nothing."""
        return 16.0 / self.beta if self.beta > 0 else None

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return 0.0, 1.0

    def in_place(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[int, ...]:
        return (0,) if ins[0].dtype.bits == outs[0].dtype.bits else ()

    def output_quant(self, ins: Sequence[Value], index: int = 0, dtype: DType = DType.INT8) -> tuple[float, int] | None:
        return (1 / 256, -128) if dtype is DType.INT8 else (UNIT_SCALE, 0)
