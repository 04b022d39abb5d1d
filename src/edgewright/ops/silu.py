"""Sigmoid linear unit, also called swish (arXiv:1710.05941)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ops.pointwise import Pointwise, round_function


@dataclass(frozen=True)
class SiLU(Pointwise):
    """Input: any shape. Output: x / (1 + exp(-x)).

    TFLM has no such kernel; at int8 it is the table of the nearest integers of the float function.
    """

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (inputs[0] * torch.sigmoid(inputs[0]),)

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        return round_function(self, x, input, output)
