"""From integers to reals, at the edge of an integer graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ops.pointwise import Pointwise
from edgewright.ops.requant import tensor_quant


@dataclass(frozen=True)
class Dequantize(Pointwise):
    """Input: integers. Output: scale * (x - zero point) in float32. In a float graph it changes nothing."""

    pointwise: ClassVar[bool] = False

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (inputs[0],)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        scale, zero_point = tensor_quant(ins[0])
        return (((inputs[0] - zero_point).to(torch.float64) * scale).to(torch.float32),)
