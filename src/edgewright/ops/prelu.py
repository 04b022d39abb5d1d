"""Rectifier with a learned slope below zero for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window, expect
from edgewright.ops.pointwise import same_axes
from edgewright.ops.requant import Multiplier, multiply_by_quantized_multiplier, quantize_multipliers, tensor_quant


@dataclass(frozen=True)
class PRelu(Operator):
    """Inputs: x (..., C); alpha (C,). Output: x where x >= 0, else alpha * x."""

    takes_int16: ClassVar[bool] = True
    int8_inputs: ClassVar[tuple[int, ...]] = (1,)
    inputs_range: ClassVar[tuple[int, int]] = (2, 2)
    homogeneous: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        x, alpha = inputs
        expect(x.rank >= 2 and alpha.shape == (x.shape[-1],), self, f"it needs one alpha a channel, got {alpha.shape} for {x.shape}")
        return (x.shape,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (torch.where(inputs[0] >= 0, inputs[0], inputs[0] * inputs[1]),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        x, alpha = inputs[0] - tensor_quant(ins[0])[1], inputs[1] - tensor_quant(ins[1])[1]
        identity, slope = self.multipliers(ins, outs)
        steps = torch.where(x >= 0, multiply_by_quantized_multiplier(x, identity), multiply_by_quantized_multiplier(x * alpha, slope))
        return ((steps + tensor_quant(outs[0])[1]).clamp_(outs[0].dtype.minimum, outs[0].dtype.maximum).to(torch.int32),)

    def multipliers(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Multiplier, Multiplier]:
        """The fixed-point factors above zero, and below it for x * alpha; from ratios in double, as TFLM derives them."""
        scale, alpha_scale, out_scale = (tensor_quant(value)[0] for value in (*ins, outs[0]))
        return quantize_multipliers([scale / out_scale]), quantize_multipliers([scale * alpha_scale / out_scale])

    def macs(self, ins: Sequence[Value], outs: Sequence[Value]) -> int:
        return outs[0].elements

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        return (*same_axes(ins[0]), Coupling(Axis("in", 1, 0), Axis("out", 0, ins[0].rank - 1)))

    def window(self, ins: Sequence[Value]) -> Window | None:
        return Window()

    def in_place(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[int, ...]:
        return (0,) if ins[0].dtype.bits == outs[0].dtype.bits else ()
