"""Hyperbolic tangent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ops.fixed_point import hyperbolic_tangent
from edgewright.ops.pointwise import Pointwise, evaluate_in_q4


@dataclass(frozen=True)
class Tanh(Pointwise):
    """Input: any shape. Output: tanh(x); at int8 always with scale 1 / 128 and zero point 0."""

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (torch.tanh(inputs[0]),)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return -1.0, 1.0

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        return evaluate_in_q4(self, hyperbolic_tangent, x, input, output)

    def output_quant(self, ins: Sequence[Value], index: int = 0) -> tuple[float, int] | None:
        return 1 / 128, 0
