"""Dense (fully connected) layer over the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window, expect
from edgewright.ops.activation import apply_activation, check_activation
from edgewright.ops.convolution import exact_sums
from edgewright.ops.requant import rescale_products


@dataclass(frozen=True)
class Dense(Operator):
    """Inputs: x (..., I); weight (O, I); bias (O,), optional. Output: (..., O)."""

    activation: str = "none"

    takes_int16: ClassVar[bool] = True
    inputs_range: ClassVar[tuple[int, int]] = (2, 3)
    weight_inputs: ClassVar[tuple[int, ...]] = (1,)
    bias_input: ClassVar[int | None] = 2

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        x, weight = inputs[:2]
        check_activation(self.activation)
        expect(weight.rank == 2 and x.rank >= 2 and x.shape[-1] == weight.shape[1], self,
               f"input shape {x.shape} does not fit weight shape {weight.shape}")
        expect(len(inputs) < 3 or inputs[2].shape == weight.shape[:1], self, "the bias must have one number for each output")
        return ((*x.shape[:-1], weight.shape[0]),)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (apply_activation(F.linear(*inputs), self.activation),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        sums = exact_sums(F.linear, inputs, ins)
        return (rescale_products(sums, ins[0], ins[1], outs[0], self.activation),)

    def macs(self, ins: Sequence[Value], outs: Sequence[Value]) -> int:
        return outs[0].elements * int(ins[1].shape[1] or 1)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        last = ins[0].rank - 1
        found = [Coupling(Axis("in", 0, last), Axis("in", 1, 1)), Coupling(Axis("in", 1, 0), Axis("out", 0, last))]
        if len(ins) > 2:
            found.append(Coupling(Axis("in", 2, 0), Axis("out", 0, last)))
        found += [Coupling(Axis("in", 0, axis), Axis("out", 0, axis)) for axis in range(1, last)]
        return tuple(found)

    def window(self, ins: Sequence[Value]) -> Window | None:
        return Window() if ins[0].rank == 4 else None
