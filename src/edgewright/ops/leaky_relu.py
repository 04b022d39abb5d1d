"""Rectifier with a slope below zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import expect
from edgewright.ops.pointwise import Pointwise
from edgewright.ops.requant import Multiplier, multiply_by_quantized_multiplier, quantize_multipliers, tensor_quant


@dataclass(frozen=True)
class LeakyRelu(Pointwise):
    """Input: any shape. Output: x where x > 0, else ``alpha`` * x; ``alpha`` may be negative or above 1."""

    alpha: float = 0.01

    takes_int16: ClassVar[bool] = True
    homogeneous: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        expect(math.isfinite(self.alpha), self, f"alpha must be finite, got {self.alpha}")
        return (inputs[0].shape,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (torch.where(inputs[0] > 0, inputs[0], inputs[0] * self.alpha),)

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        centred = x - tensor_quant(input)[1]
        identity, slope = self.multipliers((input,), (output,))
        below = multiply_by_quantized_multiplier(centred, slope)
        steps = torch.where(centred >= 0, multiply_by_quantized_multiplier(centred, identity), -below if self.alpha < 0 else below)
        return (steps + tensor_quant(output)[1]).clamp_(output.dtype.minimum, output.dtype.maximum).to(torch.int32)

    def multipliers(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Multiplier, Multiplier]:
        """The fixed-point factors above and below zero (its absolute value), from ratios in double, as TFLM derives them."""
        scale, out_scale = tensor_quant(ins[0])[0], tensor_quant(outs[0])[0]
        return quantize_multipliers([scale / out_scale]), quantize_multipliers([abs(scale * float(np.float32(self.alpha)) / out_scale)])
