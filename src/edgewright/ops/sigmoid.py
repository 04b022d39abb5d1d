"""Logistic function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewright.ir.dtype import DType
from edgewright.ir.graph import Value
from edgewright.ops.fixed_point import logistic
from edgewright.ops.gates import UNIT_SCALE, apply_thirds, logistic_of_thirds
from edgewright.ops.pointwise import Pointwise, evaluate_in_q4


@dataclass(frozen=True)
class Sigmoid(Pointwise):
    """Input: any shape. Output: 1 / (1 + exp(-x)); at int8 always with scale 1 / 256 and zero point -128, at int16 2**-15 and 0."""

    takes_int16: ClassVar[bool] = True

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (torch.sigmoid(inputs[0]),)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return 0.0, 1.0

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        if input.dtype is DType.INT16:
            return apply_thirds(logistic_of_thirds, x, input, output)
        return evaluate_in_q4(self, logistic, x, input, output)

    def output_quant(self, ins: Sequence[Value], index: int = 0, dtype: DType = DType.INT8) -> tuple[float, int] | None:
        return (1 / 256, -128) if dtype is DType.INT8 else (UNIT_SCALE, 0)
