"""Piecewise linear approximation of the logistic function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Operator, expect
from edgewright.ops.pointwise import Pointwise, round_function


@dataclass(frozen=True)
class HardSigmoid(Pointwise, Operator):
    """Input: any shape. Output: ``alpha`` * x + ``beta``, clamped to 0 … 1.

    TFLM has no such kernel; at int8 it is the table of the nearest integers of the float function.
    """

    alpha: float = 1 / 6
    beta: float = 0.5

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        expect(math.isfinite(self.alpha) and math.isfinite(self.beta), self, f"alpha and beta must be finite, got {self.alpha} and {self.beta}")
        return (inputs[0].shape,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return ((inputs[0] * self.alpha + self.beta).clamp(0.0, 1.0),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        return (round_function(lambda x: self.evaluate([x])[0], inputs[0], ins[0], outs[0]),)
