"""Axes in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window, expect


@dataclass(frozen=True)
class Transpose(Operator):
    """Output axis k is input axis ``permutation[k]``; a symbolic batch stays first."""

    permutation: tuple[int, ...]

    takes_int16: ClassVar[bool] = True
    same_quant: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        shape = inputs[0].shape
        expect(sorted(self.permutation) == list(range(len(shape))), self, f"permutation {self.permutation} does not fit shape {shape}")
        expect(shape[:1] != (None,) or self.permutation[0] == 0, self, "the symbolic batch must stay the first axis")
        return (tuple(shape[axis] for axis in self.permutation),)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (inputs[0].permute(self.permutation),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        return self.evaluate(inputs)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        return tuple(Coupling(Axis("in", 0, axis), Axis("out", 0, place)) for place, axis in enumerate(self.permutation) if axis and place)

    def window(self, ins: Sequence[Value]) -> Window | None:
        return Window() if self.permutation[:3] == (0, 1, 2) else None
