"""Two-dimensional maximum pooling."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window, expect
from edgewright.ops.activation import apply_activation, check_activation
from edgewright.ops.convolution import NO_PADDING, Padding, infer_pool, output_shape, unpadded
from edgewright.ops.requant import activation_range


@dataclass(frozen=True)
class MaxPool2D(Operator):
    """Input: (N, H, W, C). Output: (N, H', W', C). Padded places never win: they count as minus infinity."""

    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)
    padding: Padding = NO_PADDING
    activation: str = "none"

    takes_int16: ClassVar[bool] = True
    same_quant: ClassVar[bool] = True
    homogeneous: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        check_activation(self.activation)
        return output_shape(inputs[0], infer_pool(self, inputs[0], self.kernel, self.stride, self.padding), int(inputs[0].shape[3] or 0))

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (apply_activation(self._pool(inputs[0]), self.activation),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        expect(ins[0].quant == outs[0].quant, self, f"input and output of {outs[0].name!r} must share one scale and zero point")
        low, high = activation_range(self.activation, outs[0])
        return (self._pool(inputs[0].float()).clamp_(low, high).to(inputs[0].dtype),)

    def _pool(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = self.padding
        planes = x.permute(0, 3, 1, 2)
        if self.padding != NO_PADDING:
            planes = F.pad(planes, (left, right, top, bottom), value=float("-inf"))
        return F.max_pool2d(planes, self.kernel, self.stride).permute(0, 2, 3, 1)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        return (Coupling(Axis("in", 0, 3), Axis("out", 0, 3)),)

    def window(self, ins: Sequence[Value]) -> Window | None:
        return Window(self.kernel, self.stride, (1, 1), self.padding)

    def padding_value(self, ins: Sequence[Value]) -> int | None:
        return ins[0].dtype.minimum

    def without_padding(self, rows: bool, columns: bool) -> Operator:
        return dataclasses.replace(self, padding=unpadded(self.padding, rows, columns))
