"""Logarithm of the softmax over the last axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Operator, expect
from edgewright.ops.fixed_point import INTEGER_BITS, ExpInput, exp_input, exp_on_negative, log_at_least_one, scaled_difference, sum_of_exps
from edgewright.ops.requant import (
    INT32_MIN,
    Multiplier,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_pot,
    tensor_quant,
)


@dataclass(frozen=True)
class LogSoftmax(Operator):
    """Input: (..., C). Output: log(softmax(x)) along the last axis; at int8 the scale is 1/16, the zero point 127."""

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        expect(inputs[0].rank >= 1 and inputs[0].shape[-1] != 0, self, f"it needs a last axis, got shape {inputs[0].shape}")
        return (inputs[0].shape,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (torch.log_softmax(inputs[0], -1),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        """TFLM's int8 reference kernel: as Softmax up to the sum in Q12.19, then its logarithm in Q5.26."""
        if ins[0].dtype.bits > 8 or outs[0].dtype.bits > 8:
            raise UnsupportedError(f"{self.kind} of {ins[0].dtype.value} {ins[0].name!r} has no integer form",
                                   hint="quantize activations to int8")
        x = inputs[0].to(torch.int64)
        parameters, reverse = self.parameters(ins)
        difference = x - x.amax(-1, keepdim=True)
        counted = difference >= parameters.smallest_difference
        scaled = scaled_difference(difference.clamp(min=parameters.smallest_difference), parameters)
        log_sum = log_at_least_one(sum_of_exps(exp_on_negative(scaled), counted))
        smallest = multiply_by_quantized_multiplier(log_sum + INT32_MIN, reverse).clamp(min=parameters.smallest_difference - 1)
        low, high = outs[0].dtype.minimum, outs[0].dtype.maximum
        out = rounding_divide_by_pot(scaled - log_sum, 31 - INTEGER_BITS - 4) + high
        return (torch.where(difference > smallest, out.clamp_(low, high), low).to(torch.int32),)

    def parameters(self, ins: Sequence[Value]) -> tuple[ExpInput, Multiplier]:
        """The fixed-point factor of the differences with the smallest that counts, and the factor back from Q5.26 to differences."""
        forward = exp_input(1.0, tensor_quant(ins[0])[0])
        back = quantize_multiplier((1 << (31 - forward.multiplier.shift[0])) / forward.multiplier.multiplier[0])
        return forward, Multiplier((back[0],), (back[1],))

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return -math.inf, 0.0

    def in_place(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[int, ...]:
        return (0,) if ins[0].dtype.bits == outs[0].dtype.bits else ()

    def output_quant(self, ins: Sequence[Value], index: int = 0, dtype: DType = DType.INT8) -> tuple[float, int] | None:
        return 16 / 256, 127
