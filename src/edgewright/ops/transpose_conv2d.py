"""Transposed two-dimensional convolution (the gradient of a convolution; "deconvolution")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, expect
from edgewright.ops.activation import apply_activation, check_activation
from edgewright.ops.convolution import NO_PADDING, Padding, exact_sums, output_shape
from edgewright.ops.requant import rescale_products


@dataclass(frozen=True)
class TransposeConv2D(Operator):
    """Inputs: x (N, H, W, I); weight (O, kh, kw, I); bias (O,), optional. Output: (N, H', W', O).

    H' = (H - 1) * stride + kh - top - bottom + output_padding, likewise W': ``padding``, ((top, bottom), (left, right)), is cut off
    the full result, and ``output_padding`` (bottom, right) adds to it what no input reaches.
    """

    stride: tuple[int, int] = (1, 1)
    padding: Padding = NO_PADDING
    output_padding: tuple[int, int] = (0, 0)
    activation: str = "none"

    takes_int16: ClassVar[bool] = True
    inputs_range: ClassVar[tuple[int, int]] = (2, 3)
    weight_inputs: ClassVar[tuple[int, ...]] = (1,)
    bias_input: ClassVar[int | None] = 2

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        x, weight = inputs[:2]
        check_activation(self.activation)
        expect(weight.rank == 4 and x.rank == 4 and x.shape[3] == weight.shape[3], self,
               f"input shape {x.shape} (NHWC) does not fit weight shape {weight.shape} (OHWI)")
        outputs = int(weight.shape[0] or 0)
        expect(outputs >= 1 and (len(inputs) < 3 or inputs[2].shape == (outputs,)), self,
               "the bias must have one number for each output channel")
        expect(min(self.stride) >= 1 and min(self.output_padding) >= 0 and min(v for pair in self.padding for v in pair) >= 0, self,
               "the stride must be at least 1, paddings must not be negative")
        sizes = []
        for axis in (0, 1):
            size, kernel = int(x.shape[axis + 1] or 0), int(weight.shape[axis + 1] or 0)
            sizes.append((size - 1) * self.stride[axis] + kernel - sum(self.padding[axis]) + self.output_padding[axis])
            expect(min(size, kernel, sizes[axis]) >= 1, self, f"nothing is left of input shape {x.shape} with padding {self.padding}")
        return output_shape(x, (sizes[0], sizes[1]), outputs)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (apply_activation(self._convolve(*inputs), self.activation),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        sums = exact_sums(self._convolve, inputs, ins)
        return (rescale_products(sums, ins[0], ins[1], outs[0], self.activation),)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        full = F.conv_transpose2d(x.permute(0, 3, 1, 2), weight.permute(3, 0, 1, 2), None, self.stride).permute(0, 2, 3, 1)
        (top, bottom), (left, right) = self.padding
        reached = F.pad(full, (0, 0, -left, self.output_padding[1] - right, -top, self.output_padding[0] - bottom))
        return reached if bias is None else reached + bias

    def macs(self, ins: Sequence[Value], outs: Sequence[Value]) -> int:
        return ins[0].elements * ins[1].elements // int(ins[1].shape[3] or 1)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        found = [Coupling(Axis("in", 0, 3), Axis("in", 1, 3)), Coupling(Axis("in", 1, 0), Axis("out", 0, 3))]
        if len(ins) > 2:
            found.append(Coupling(Axis("in", 2, 0), Axis("out", 0, 3)))
        return tuple(found)
