"""Mean over axes; over (1, 2) it is global average pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, expect
from edgewright.ops.requant import Multiplier, quantize_multiplier, requantize, tensor_quant


@dataclass(frozen=True)
class Mean(Operator):
    """Input: any shape. Output: the mean over ``axes`` (counted from 0, never the batch), which stay with size 1 where ``keep_dims``."""

    axes: tuple[int, ...] = (1, 2)
    keep_dims: bool = False

    takes_int16: ClassVar[bool] = True
    monotone: ClassVar[bool] = True
    homogeneous: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        shape = inputs[0].shape
        expect(len(self.axes) >= 1 and len(set(self.axes)) == len(self.axes) and all(0 <= axis < len(shape) for axis in self.axes), self,
               f"axes {self.axes} do not fit input shape {shape}")
        expect(all(shape[axis] is not None and shape[axis] != 0 for axis in self.axes), self, "it cannot reduce the batch or an empty axis")
        if self.keep_dims:
            return (tuple(1 if axis in self.axes else size for axis, size in enumerate(shape)),)
        return (tuple(size for axis, size in enumerate(shape) if axis not in self.axes),)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (inputs[0].mean(self.axes, keepdim=self.keep_dims),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        sums = inputs[0].sum(self.axes, keepdim=self.keep_dims, dtype=torch.int64) - tensor_quant(ins[0])[1] * self.count(ins)
        quant = outs[0].dtype
        return (requantize(sums, self.multipliers(ins, outs), tensor_quant(outs[0])[1], quant.minimum, quant.maximum),)

    def count(self, ins: Sequence[Value]) -> int:
        """How many elements are averaged."""
        count = 1
        for axis in self.axes:
            count *= int(ins[0].shape[axis] or 1)
        return count

    def multipliers(self, ins: Sequence[Value], outs: Sequence[Value]) -> Multiplier:
        """The fixed-point factor input scale / (output scale * count) that turns centred sums into outputs, as TFLM derives it.

        The division by the count happens in integers, with as many bits as the count has: the multiplier is not normalized.
        """
        fixed, shift = quantize_multiplier(tensor_quant(ins[0])[0] / tensor_quant(outs[0])[0])
        count = self.count(ins)
        extra = min(count.bit_length() - 1, 32, 31 + shift)
        return Multiplier(((fixed << extra) // count,), (shift - extra,))

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        last = ins[0].rank - 1
        if last in self.axes:
            return None
        kept = range(ins[0].rank) if self.keep_dims else [axis for axis in range(ins[0].rank) if axis not in self.axes]
        return tuple(
            Coupling(Axis("in", 0, axis), Axis("out", 0, place)) for place, axis in enumerate(kept) if axis not in self.axes and axis > 0)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return ins[0]
