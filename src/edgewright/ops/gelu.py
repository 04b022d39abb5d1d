"""Gaussian error linear unit (arXiv:1606.08415)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ops.pointwise import Pointwise, round_function


@dataclass(frozen=True)
class GELU(Pointwise):
    """Input: any shape. Output: x times the normal distribution's cumulative function at x; by tanh where ``approximate``.

    TFLM has no such kernel; at int8 it is the table of the nearest integers of the float function.
    """

    approximate: bool = False

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (F.gelu(inputs[0], approximate="tanh" if self.approximate else "none"),)

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        return round_function(self, x, input, output)
