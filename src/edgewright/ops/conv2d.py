"""Two-dimensional convolution with groups and dilation; a one-dimensional one is its case with height 1."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window, expect
from edgewright.ops.activation import apply_activation, check_activation
from edgewright.ops.convolution import NO_PADDING, Padding, convolve, exact_sums, infer_window, output_shape, unpadded
from edgewright.ops.requant import rescale_products, tensor_quant


@dataclass(frozen=True)
class Conv2D(Operator):
    """Inputs: x (N, H, W, C); weight (O, kh, kw, C / groups); bias (O,), optional. Output: (N, H', W', O).

    ``padding`` is ((top, bottom), (left, right)), filled with real zero.
    """

    stride: tuple[int, int] = (1, 1)
    padding: Padding = NO_PADDING
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    activation: str = "none"

    takes_int16: ClassVar[bool] = True
    inputs_range: ClassVar[tuple[int, int]] = (2, 3)
    weight_inputs: ClassVar[tuple[int, ...]] = (1,)
    bias_input: ClassVar[int | None] = 2

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        x, weight = inputs[:2]
        check_activation(self.activation)
        expect(weight.rank == 4, self, f"the weight must be OHWI, got shape {weight.shape}")
        outputs, kernel_h, kernel_w, channels = (int(size or 0) for size in weight.shape)
        expect(x.rank == 4 and x.shape[3] == channels * self.groups, self,
               f"input shape {x.shape} does not fit weight shape {weight.shape} with {self.groups} groups")
        expect(self.groups >= 1 and outputs >= 1 and outputs % self.groups == 0, self,
               f"{outputs} output channels do not divide into {self.groups} groups")
        expect(len(inputs) < 3 or inputs[2].shape == (outputs,), self, "the bias must have one number for each output channel")
        return output_shape(x, infer_window(self, x, (kernel_h, kernel_w), self.stride, self.dilation, self.padding), outputs)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (apply_activation(self._convolve(*inputs), self.activation),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        sums = exact_sums(self._convolve, inputs, ins)
        return (rescale_products(sums, ins[0], ins[1], outs[0], self.activation),)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return convolve(x, weight, bias, self.stride, self.dilation, self.padding, self.groups)

    def macs(self, ins: Sequence[Value], outs: Sequence[Value]) -> int:
        return outs[0].elements * ins[1].elements // int(ins[1].shape[0] or 1)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        found = [self._between(ins), Coupling(Axis("in", 1, 0), Axis("out", 0, 3))]
        if len(ins) > 2:
            found.append(Coupling(Axis("in", 2, 0), Axis("out", 0, 3)))
        return tuple(found)

    def _between(self, ins: Sequence[Value]) -> Coupling:
        """Input channels live with the weight's input axis or, where there are groups, with all filters of their group."""
        if self.groups == 1:
            return Coupling(Axis("in", 0, 3), Axis("in", 1, 3))
        outputs, channels = int(ins[1].shape[0] or 0) // self.groups, int(ins[1].shape[3] or 0)
        inside = [(i, o) for i in range(channels) for o in range(outputs)]
        pairs = [(group * channels + i, group * outputs + o) for group in range(self.groups) for i, o in inside]
        return Coupling(Axis("in", 0, 3), Axis("in", 1, 0), np.asarray(pairs, np.int64))

    def resized(self, ins: Sequence[Value], removed: dict[Axis, NDArray[np.int64]]) -> Operator:
        if self.groups == 1:
            return self
        gone = np.unique(np.asarray(removed.get(Axis("in", 0, 3), ()), np.int64) // int(ins[1].shape[3] or 1))
        return dataclasses.replace(self, groups=self.groups - len(gone))

    def window(self, ins: Sequence[Value]) -> Window | None:
        return Window((int(ins[1].shape[1] or 1), int(ins[1].shape[2] or 1)), self.stride, self.dilation, self.padding)

    def padding_value(self, ins: Sequence[Value]) -> int | None:
        return tensor_quant(ins[0])[1]

    def without_padding(self, rows: bool, columns: bool) -> Operator:
        return dataclasses.replace(self, padding=unpadded(self.padding, rows, columns))
