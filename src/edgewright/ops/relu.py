"""Rectifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ops.activation import apply_activation
from edgewright.ops.pointwise import Pointwise
from edgewright.ops.requant import activation_range, quantize_multipliers, requantize, tensor_quant


@dataclass(frozen=True)
class Relu(Pointwise):
    """Input: any shape. Output: max(x, 0)."""

    takes_int16: ClassVar[bool] = True
    homogeneous: ClassVar[bool] = True

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (apply_activation(inputs[0], "relu"),)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return max(ins[0][0], 0.0), max(ins[0][1], 0.0)

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        return rescale_and_clamp(x, input, output, "relu")


def rescale_and_clamp(x: Tensor, input: Value, output: Value, activation: str) -> Tensor:
    """Integers of ``input`` on the grid of ``output``, clamped by ``activation``; the ratio of scales is taken in double, as TFLM does."""
    (scale, zero_point), (out_scale, out_zero_point) = tensor_quant(input), tensor_quant(output)
    factor = quantize_multipliers([scale / out_scale])
    low, high = activation_range(activation, output)
    return requantize(x - zero_point, factor, out_zero_point, low, high)
