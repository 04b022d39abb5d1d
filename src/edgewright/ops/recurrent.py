"""What recurrent operators share: their weights, and what these multiply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from edgewright.errors import UnsupportedError
from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Operator, expect


class Recurrent(Operator, register=False):
    """Base of operators on x (N, T, I), a weight (gates * H, I), a recurrent weight (gates * H, H), which multiplies what came out a step
    before, and biases (gates * H,); they give the hidden state after each step (N, T, H)."""

    weight_inputs: ClassVar[tuple[int, ...]] = (1, 2)
    bias_input: ClassVar[int | None] = 3

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        x, weight, recurrent, *biases = inputs
        rows, gates = weight.shape[0], self.weight_groups or 1
        expect(x.rank == 3 and weight.rank == recurrent.rank == 2, self, f"it takes (N, T, I) and two matrices, got input shape {x.shape}")
        expect(None not in x.shape[1:] and x.shape[2] == weight.shape[1], self, f"input shape {x.shape} does not fit weight {weight.shape}")
        expect(rows is not None and rows > 0 and rows % gates == 0 and recurrent.shape == (rows, rows // gates), self,
               f"weights of shapes {weight.shape} and {recurrent.shape} are not those of {gates} gates")
        expect(all(bias.shape == (rows,) for bias in biases), self, "each bias must have one number for each row of the weights")
        return ((*x.shape[:2], recurrent.shape[1]),)

    def multiplicand(self, index: int) -> tuple[Literal["in", "out"], int]:
        return ("out", 0) if index == 2 else ("in", 0)

    def bias_of(self, index: int) -> int | None:
        return index + 2 if index + 2 < self.inputs_range[1] else None

    def expect_int8(self, ins: Sequence[Value], outs: Sequence[Value]) -> None:
        """UnsupportedError unless activations are int8."""
        wide = [value for value in (ins[0], outs[0]) if value.dtype.bits > 8]
        if wide:
            raise UnsupportedError(f"{self.kind} of {wide[0].dtype.value} {wide[0].name!r} has no integer form",
                                   hint="quantize activations to int8")

    def macs(self, ins: Sequence[Value], outs: Sequence[Value]) -> int:
        return int(ins[0].shape[1] or 1) * (ins[1].elements + ins[2].elements)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return -1.0, 1.0
