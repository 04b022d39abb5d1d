"""Elementwise multiplication with broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Coupling, Operator, Window
from edgewright.ops.activation import apply_activation, check_activation
from edgewright.ops.elementwise import broadcast_couplings, broadcast_in_place, broadcast_shape, broadcast_window
from edgewright.ops.requant import Multiplier, activation_range, quantize_multipliers, requantize, tensor_quant

LOUDEST = 16.0
"""A factor makes no difference beyond so many times what brings the largest of the other to the end of what is held."""


@dataclass(frozen=True)
class Mul(Operator):
    """Inputs: two operands that broadcast as in numpy; either may be a constant. Output: their product."""

    activation: str = "none"

    takes_int16: ClassVar[bool] = True
    inputs_range: ClassVar[tuple[int, int]] = (2, 2)

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        check_activation(self.activation)
        return (broadcast_shape(self, inputs),)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (apply_activation(inputs[0] * inputs[1], self.activation),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        products = (inputs[0] - tensor_quant(ins[0])[1]) * (inputs[1] - tensor_quant(ins[1])[1])
        low, high = activation_range(self.activation, outs[0])
        return (requantize(products, self.multipliers(ins, outs), tensor_quant(outs[0])[1], low, high),)

    def multipliers(self, ins: Sequence[Value], outs: Sequence[Value]) -> Multiplier:
        """The fixed-point factor first scale * second scale / output scale, in double, of the integer form."""
        return quantize_multipliers([tensor_quant(ins[0])[0] * tensor_quant(ins[1])[0] / tensor_quant(outs[0])[0]])

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        return broadcast_couplings(ins, outs[0])

    def window(self, ins: Sequence[Value]) -> Window | None:
        return broadcast_window(ins)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        corners = [first * second for first in ins[0] for second in ins[1] if first != 0 and second != 0]
        touches_zero = any(low <= 0 <= high for low, high in ins)
        return min([*corners, 0.0] if touches_zero else corners), max([*corners, 0.0] if touches_zero else corners)

    def heard(self, index: int, ins: Sequence[tuple[float, float]], out: tuple[float, float]) -> tuple[float, float]:
        most, held = max(map(abs, ins[1 - index])), max(map(abs, out))
        reach = LOUDEST * held / most if most > 0 else float("inf")
        return -reach, reach

    def in_place(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[int, ...]:
        return broadcast_in_place(ins, outs[0])
