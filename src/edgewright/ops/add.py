"""Elementwise addition with broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Coupling, Operator, Window
from edgewright.ops.activation import apply_activation, check_activation
from edgewright.ops.elementwise import broadcast_couplings, broadcast_in_place, broadcast_shape, broadcast_window
from edgewright.ops.rescaled_sum import SumMultipliers, rescaled_sum, sum_multipliers


@dataclass(frozen=True)
class Add(Operator):
    """Inputs: two operands that broadcast as in numpy; either may be a constant. Output: their sum."""

    activation: str = "none"

    takes_int16: ClassVar[bool] = True
    inputs_range: ClassVar[tuple[int, int]] = (2, 2)
    monotone: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        check_activation(self.activation)
        return (broadcast_shape(self, inputs),)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (apply_activation(inputs[0] + inputs[1], self.activation),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        return (rescaled_sum(inputs, ins, outs[0], self.multipliers(ins, outs), self.activation),)

    def multipliers(self, ins: Sequence[Value], outs: Sequence[Value]) -> SumMultipliers:
        """The fixed-point factors of the integer form."""
        return sum_multipliers(ins, outs[0])

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        return broadcast_couplings(ins, outs[0])

    def window(self, ins: Sequence[Value]) -> Window | None:
        return broadcast_window(ins)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return ins[0][0] + ins[1][0], ins[0][1] + ins[1][1]

    def heard(self, index: int, ins: Sequence[tuple[float, float]], out: tuple[float, float]) -> tuple[float, float]:
        low, high = ins[1 - index]
        return out[0] - high, out[1] - low

    def in_place(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[int, ...]:
        return broadcast_in_place(ins, outs[0])
