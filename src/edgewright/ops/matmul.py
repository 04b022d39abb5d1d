"""Matrix product of two activations, as attention has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewright.errors import UnsupportedError
from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, expect
from edgewright.ops.requant import (
    INT32_MAX,
    Multiplier,
    activation_range,
    multiply_by_reduced_multiplier,
    quantize_multipliers,
    requantize,
    tensor_quant,
    wrap_int32,
)


@dataclass(frozen=True)
class MatMul(Operator):
    """Inputs: a (..., M, K); b (..., K, N), or (..., N, K) with ``transposed``. Leading axes broadcast. Output: (..., M, N)."""

    transposed: bool = False

    takes_int16: ClassVar[bool] = True
    inputs_range: ClassVar[tuple[int, int]] = (2, 2)

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        a, b = inputs
        expect(a.rank == b.rank >= 2, self, f"the factors must have as many axes, at least two, got shapes {a.shape} and {b.shape}")
        expect(None not in (*a.shape[-2:], *b.shape[-2:]), self, "the batch cannot be an axis of the matrices")
        inner, outer = (-1, -2) if self.transposed else (-2, -1)
        expect(a.shape[-1] == b.shape[inner], self, f"shapes {a.shape} and {b.shape} do not fit each other")
        leading = []
        for first, second in zip(a.shape[:-2], b.shape[:-2], strict=True):
            expect(first == second or 1 in (first, second), self, f"leading axes of {a.shape} and {b.shape} do not broadcast")
            leading.append(second if first == 1 else first)
        return ((*leading, a.shape[-2], b.shape[outer]),)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (torch.matmul(inputs[0], inputs[1].mT if self.transposed else inputs[1]),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        """TFLM's reference kernels of BATCH_MATMUL: one factor for all sums, which are int32 at int8."""
        if max(value.dtype.bits for value in (*ins, outs[0])) > 8:
            return (self._wide(inputs, ins, outs[0]),)
        a, b = ((x - tensor_quant(value)[1]).to(torch.float64) for x, value in zip(inputs, ins, strict=True))
        sums = torch.matmul(a, b.mT if self.transposed else b)
        if int(ins[0].shape[-1] or 1) * (1 << 16) > INT32_MAX:
            sums = wrap_int32(sums.to(torch.int64))
        low, high = activation_range("none", outs[0])
        return (requantize(sums, self.multipliers(ins, outs), tensor_quant(outs[0])[1], low, high),)

    def _wide(self, inputs: Sequence[Tensor], ins: Sequence[Value], out: Value) -> Tensor:
        """TFLM's int16 reference kernel: sums in int64, a factor of 15 bits."""
        if len({value.dtype for value in (*ins, out)}) > 1 or any(tensor_quant(value)[1] for value in (*ins, out)):
            raise UnsupportedError(f"{self.kind} of {ins[0].dtype.value} {ins[0].name!r} and {ins[1].dtype.value} {ins[1].name!r} "
                                   f"has no integer form", hint="quantize all of them to int8, or to int16 with zero point 0")
        a, b = (x.to(torch.float64) for x in inputs)
        low, high = activation_range("none", out)
        sums = torch.matmul(a, b.mT if self.transposed else b)
        return multiply_by_reduced_multiplier(sums, self.multipliers(ins, (out,))).clamp_(low, high).to(torch.int32)

    def multipliers(self, ins: Sequence[Value], outs: Sequence[Value]) -> Multiplier:
        """The fixed-point factor first scale * second scale / output scale, in double, of the integer form."""
        return quantize_multipliers([tensor_quant(ins[0])[0] * tensor_quant(ins[1])[0] / tensor_quant(outs[0])[0]])

    def macs(self, ins: Sequence[Value], outs: Sequence[Value]) -> int:
        return outs[0].elements * int(ins[0].shape[-1] or 1)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        last = outs[0].rank - 1
        inner, outer = (last, last - 1) if self.transposed else (last - 1, last)
        found = [
            Coupling(Axis("in", 0, last), Axis("in", 1, inner)),
            Coupling(Axis("in", 0, last - 1), Axis("out", 0, last - 1)),
            Coupling(Axis("in", 1, outer), Axis("out", 0, last)),
        ]
        for index, value in enumerate(ins):
            found += [
                Coupling(Axis("in", index, axis), Axis("out", 0, axis))
                for axis in range(1, last - 1)
                if value.shape[axis] == outs[0].shape[axis]
            ]
        return tuple(found)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return -math.inf, math.inf
