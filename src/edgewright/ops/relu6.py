"""Rectifier that saturates at 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ir.operator import Operator
from edgewright.ops.pointwise import Pointwise
from edgewright.ops.relu import rescale_and_clamp


@dataclass(frozen=True)
class Relu6(Pointwise, Operator):
    """Input: any shape. Output: min(max(x, 0), 6)."""

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (inputs[0].clamp(0.0, 6.0),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        return (rescale_and_clamp(inputs[0], ins[0], outs[0], "relu6"),)
