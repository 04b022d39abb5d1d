"""Exponential linear unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import expect
from edgewright.ops.pointwise import Pointwise, round_function

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
"""The self-normalizing unit is SELU_SCALE times the ELU with this alpha (Klambauer et al. 2017, arXiv:1706.02515)."""


@dataclass(frozen=True)
class ELU(Pointwise):
    """Input: any shape. Output: x where x > 0, else ``alpha`` * (exp(x) - 1).

    At int8 it is the table of the nearest integers of the float function, as TFLM's kernel makes it at its start.
    Source: Clevert, Unterthiner and Hochreiter 2015 (arXiv:1511.07289).
    """

    alpha: float = 1.0

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        expect(math.isfinite(self.alpha), self, f"alpha must be finite, got {self.alpha}")
        return (inputs[0].shape,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x = inputs[0]
        # The branch that is not taken must not overflow: its gradient would be NaN.
        return (torch.where(x > 0, x, self.alpha * torch.expm1(x.clamp(max=0))),)

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        return round_function(self, x, input, output, self._as_tflm, by_reciprocal=True)

    def _as_tflm(self, x: Tensor) -> Tensor:
        """The exponential is rounded to float32 before one is taken from it; LiteRT rounds the difference alone."""
        below = torch.exp(x.clamp(max=0)).to(torch.float32) - 1.0
        return torch.where(x > 0, x.to(torch.float32), self.alpha * below)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        ends = [end if end > 0 else self.alpha * math.expm1(end) for end in (*ins[0], min(max(ins[0][0], 0.0), ins[0][1]))]
        return min(ends), max(ends)
