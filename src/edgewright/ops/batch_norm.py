"""Batch normalization at inference; folded into its neighbours before quantization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window, expect


@dataclass(frozen=True)
class BatchNorm(Operator):
    """Inputs: x (..., C); constants scale, offset, mean, variance, each (C,).

    Output: (x - mean) / sqrt(variance + epsilon) * scale + offset.
    """

    epsilon: float = 1e-5

    inputs_range: ClassVar[tuple[int, int]] = (5, 5)

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        x = inputs[0]
        expect(x.rank >= 2, self, f"the input must have a batch and channels, got shape {x.shape}")
        expect(all(value.shape == x.shape[-1:] for value in inputs[1:]), self,
               f"scale, offset, mean and variance must have {x.shape[-1]} numbers each")
        return (x.shape,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x, scale, offset, mean, variance = inputs
        factor = scale / torch.sqrt(variance + self.epsilon)
        return ((x - mean) * factor + offset,)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        last = ins[0].rank - 1
        found = [Coupling(Axis("in", 0, axis), Axis("out", 0, axis)) for axis in range(1, last + 1)]
        return tuple(found + [Coupling(Axis("in", index, 0), Axis("out", 0, last)) for index in range(1, len(ins))])

    def window(self, ins: Sequence[Value]) -> Window | None:
        return Window()

    def in_place(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[int, ...]:
        return (0,)
