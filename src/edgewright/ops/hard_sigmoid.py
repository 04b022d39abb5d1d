"""Piecewise linear approximation of the logistic function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import expect
from edgewright.ops.pointwise import Pointwise, round_function


@dataclass(frozen=True)
class HardSigmoid(Pointwise):
    """Input: any shape. Output: ``alpha`` * x + ``beta``, clamped to 0 … 1.

    TFLM has no such kernel; at int8 it is the table of the nearest integers of the float function.
    """

    alpha: float = 1 / 6
    beta: float = 0.5

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        expect(math.isfinite(self.alpha + self.beta), self, f"alpha and beta must be finite, got {self.alpha} and {self.beta}")
        return (inputs[0].shape,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return ((inputs[0] * self.alpha + self.beta).clamp(0.0, 1.0),)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return 0.0, 1.0

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        return round_function(self, x, input, output)
