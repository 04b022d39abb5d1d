"""Two-dimensional average pooling; padding is not counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window, expect
from edgewright.ops.activation import apply_activation, check_activation
from edgewright.ops.convolution import NO_PADDING, Padding, infer_pool, output_shape
from edgewright.ops.requant import activation_range


@dataclass(frozen=True)
class AveragePool2D(Operator):
    """Input: (N, H, W, C). Output: (N, H', W', C), the mean over the places of each window that lie inside the input."""

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
        return (apply_activation(self._sums(inputs[0]) / self._counts(inputs[0]), self.activation),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        expect(ins[0].quant == outs[0].quant, self, f"input and output of {outs[0].name!r} must share one scale and zero point")
        sums = self._sums(inputs[0].to(torch.float64)).round().to(torch.int64)
        counts = self._counts(inputs[0].to(torch.float64)).round().to(torch.int64)
        half = counts // 2
        rounded = torch.div(torch.where(sums > 0, sums + half, sums - half), counts, rounding_mode="trunc")
        low, high = activation_range(self.activation, outs[0])
        return (rounded.clamp_(low, high).to(torch.int32),)

    def _sums(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = self.padding
        planes = F.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom))
        return F.avg_pool2d(planes, self.kernel, self.stride, divisor_override=1).permute(0, 2, 3, 1)

    def _counts(self, x: Tensor) -> Tensor:
        return self._sums(torch.ones((1, *x.shape[1:3], 1), dtype=x.dtype))

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        return (Coupling(Axis("in", 0, 3), Axis("out", 0, 3)),)

    def window(self, ins: Sequence[Value]) -> Window | None:
        return Window(self.kernel, self.stride, (1, 1), self.padding)
