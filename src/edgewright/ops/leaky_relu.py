"""Rectifier with a slope below zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Operator, expect
from edgewright.ops.pointwise import Pointwise
from edgewright.ops.requant import Multiplier, multiply_by_quantized_multiplier, quantize_multipliers, tensor_quant


@dataclass(frozen=True)
class LeakyRelu(Pointwise, Operator):
    """Input: any shape. Output: x where x > 0, else ``alpha`` * x; ``alpha`` may be negative or above 1."""

    alpha: float = 0.01

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        expect(math.isfinite(self.alpha), self, f"alpha must be finite, got {self.alpha}")
        return (inputs[0].shape,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (torch.where(inputs[0] > 0, inputs[0], inputs[0] * self.alpha),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        x = inputs[0] - tensor_quant(ins[0])[1]
        identity, slope = self.multipliers(ins, outs)
        below = multiply_by_quantized_multiplier(x, slope)
        steps = torch.where(x >= 0, multiply_by_quantized_multiplier(x, identity), -below if self.alpha < 0 else below)
        return ((steps + tensor_quant(outs[0])[1]).clamp_(outs[0].dtype.minimum, outs[0].dtype.maximum).to(torch.int32),)

    def multipliers(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Multiplier, Multiplier]:
        """The fixed-point factors above and below zero (its absolute value), from ratios in float32, as TFLM derives them."""
        scale, out_scale = np.float32(tensor_quant(ins[0])[0]), np.float32(tensor_quant(outs[0])[0])
        return quantize_multipliers([float(scale / out_scale)]), quantize_multipliers([abs(float(scale * np.float32(self.alpha) / out_scale))])
