"""Rectifier that saturates at 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ops.activation import apply_activation
from edgewright.ops.pointwise import Pointwise
from edgewright.ops.relu import rescale_and_clamp


@dataclass(frozen=True)
class Relu6(Pointwise):
    """Input: any shape. Output: min(max(x, 0), 6)."""

    takes_int16: ClassVar[bool] = True

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (apply_activation(inputs[0], "relu6"),)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        low, high = ins[0]
        return min(max(low, 0.0), 6.0), min(max(high, 0.0), 6.0)

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        return rescale_and_clamp(x, input, output, "relu6")
