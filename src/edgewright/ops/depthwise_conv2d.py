"""Depthwise two-dimensional convolution: every input channel has ``multiplier`` filters of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window, expect
from edgewright.ops.activation import apply_activation, check_activation
from edgewright.ops.convolution import NO_PADDING, Padding, convolve, exact_sums, infer_window, output_shape, unpadded
from edgewright.ops.requant import rescale_products, tensor_quant


@dataclass(frozen=True)
class DepthwiseConv2D(Operator):
    """Inputs: x (N, H, W, C); weight (C * multiplier, kh, kw, 1); bias (C * multiplier,), optional. Output: (N, H', W', C * multiplier).

    Output channel c * multiplier + j comes from input channel c. ``padding`` is ((top, bottom), (left, right)), filled with real zero.
    """

    stride: tuple[int, int] = (1, 1)
    padding: Padding = NO_PADDING
    dilation: tuple[int, int] = (1, 1)
    multiplier: int = 1
    activation: str = "none"

    takes_int16: ClassVar[bool] = True
    inputs_range: ClassVar[tuple[int, int]] = (2, 3)
    weight_inputs: ClassVar[tuple[int, ...]] = (1,)
    bias_input: ClassVar[int | None] = 2

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        x, weight = inputs[:2]
        check_activation(self.activation)
        expect(weight.rank == 4 and weight.shape[3] == 1, self, f"the weight must be (channels, height, width, 1), got {weight.shape}")
        outputs, kernel_h, kernel_w = (int(size or 0) for size in weight.shape[:3])
        expect(self.multiplier >= 1 and x.rank == 4 and (x.shape[3] or 0) * self.multiplier == outputs >= 1, self,
               f"input shape {x.shape} does not fit weight shape {weight.shape} with multiplier {self.multiplier}")
        expect(len(inputs) < 3 or inputs[2].shape == (outputs,), self, "the bias must have one number for each output channel")
        return output_shape(x, infer_window(self, x, (kernel_h, kernel_w), self.stride, self.dilation, self.padding), outputs)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (apply_activation(self._convolve(*inputs), self.activation),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        sums = exact_sums(self._convolve, inputs, ins)
        return (rescale_products(sums, ins[0], ins[1], outs[0], self.activation),)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return convolve(x, weight, bias, self.stride, self.dilation, self.padding, x.shape[3])

    def macs(self, ins: Sequence[Value], outs: Sequence[Value]) -> int:
        return outs[0].elements * int(ins[1].shape[1] or 1) * int(ins[1].shape[2] or 1)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        filters = np.arange(int(ins[1].shape[0] or 0), dtype=np.int64)
        found = [Coupling(Axis("in", 0, 3), Axis("in", 1, 0), np.stack([filters // self.multiplier, filters], axis=1)),
                 Coupling(Axis("in", 1, 0), Axis("out", 0, 3))]
        if len(ins) > 2:
            found.append(Coupling(Axis("in", 2, 0), Axis("out", 0, 3)))
        return tuple(found)

    def window(self, ins: Sequence[Value]) -> Window | None:
        return Window((int(ins[1].shape[1] or 1), int(ins[1].shape[2] or 1)), self.stride, self.dilation, self.padding)

    def padding_value(self, ins: Sequence[Value]) -> int | None:
        return tensor_quant(ins[0])[1]

    def without_padding(self, rows: bool, columns: bool) -> Operator:
        return dataclasses.replace(self, padding=unpadded(self.padding, rows, columns))
