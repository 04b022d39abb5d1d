"""From reals to integers, at the edge of an integer graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import expect
from edgewright.ops.pointwise import Pointwise
from edgewright.ops.requant import tensor_quant


@dataclass(frozen=True)
class Quantize(Pointwise):
    """Input: float32. Output: x / scale + zero point, rounded to nearest (ties away from zero) and clamped.

    In a float graph it changes nothing.
    """

    pointwise: ClassVar[bool] = False

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        expect(not inputs[0].dtype.is_integer, self, f"{inputs[0].name!r} is {inputs[0].dtype.value} already: Requantize it")
        return (inputs[0].shape,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (inputs[0],)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        scale, zero_point = tensor_quant(outs[0])
        steps = inputs[0].to(torch.float32) / torch.tensor(scale, dtype=torch.float32)
        rounded = torch.trunc(steps.to(torch.float64) + torch.copysign(torch.tensor(0.5, dtype=torch.float64), steps.to(torch.float64)))
        return ((rounded + zero_point).clamp_(outs[0].dtype.minimum, outs[0].dtype.maximum).to(torch.int32),)
