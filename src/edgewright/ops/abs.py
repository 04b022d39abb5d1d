"""Absolute value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ops.pointwise import Pointwise
from edgewright.ops.requant import Multiplier, multiply_by_quantized_multiplier, quantize_multipliers, tensor_quant


@dataclass(frozen=True)
class Abs(Pointwise):
    """Input: any shape. Output: the absolute value; in integers TFLM's arithmetic."""

    homogeneous: ClassVar[bool] = True

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (inputs[0].abs(),)

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        size = (x - tensor_quant(input)[1]).abs()
        if tensor_quant(input)[0] != tensor_quant(output)[0]:
            size = multiply_by_quantized_multiplier(size, self.multipliers((input,), (output,)))
        return (size + tensor_quant(output)[1]).clamp(output.dtype.minimum, output.dtype.maximum).to(torch.int32)

    def multipliers(self, ins: Sequence[Value], outs: Sequence[Value]) -> Multiplier:
        """The factor from the input's scale to the output's, whose ratio TFLM takes in float32."""
        return quantize_multipliers([float(np.float32(tensor_quant(ins[0])[0]) / np.float32(tensor_quant(outs[0])[0]))])

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        low, high = ins[0]
        return max(low, -high, 0.0), max(-low, high)
