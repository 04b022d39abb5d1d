"""Smooth rectifier log(1 + exp(x))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ops.pointwise import Pointwise, round_function


@dataclass(frozen=True)
class Softplus(Pointwise):
    """Input: any shape. Output: log(1 + exp(x)); at int8 the table of the nearest integers of the float function, as neither TFLM nor
    .tflite has the operator.
    """

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (F.softplus(inputs[0]),)

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        return round_function(self, x, input, output)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return 0.0, float("inf")
