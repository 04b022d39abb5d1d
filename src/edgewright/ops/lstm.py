"""Long short-term memory over a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import expect
from edgewright.ops.gates import (
    UNIT_SCALE,
    factor,
    gate_factors,
    gate_sums,
    hyperbolic_tangent,
    logistic,
    scaled,
    to_int16,
)
from edgewright.ops.recurrent import Recurrent
from edgewright.ops.requant import activation_range, multiply_by_quantized_multiplier, quantize_multipliers, tensor_quant

GATES = 4
LEAST_EXPONENT = -12
"""Of the cell: that of Q3.12, which its activation takes."""

@dataclass(frozen=True)
class LSTM(Recurrent):
    """Inputs: x (N, T, I); weight (4 H, I); recurrent weight (4 H, H); bias (4 H,). Output: the hidden state after each step (N, T, H).

    Gates stand in the order input, forget, cell, output, each of H rows. State and cell start at zero. In integers the cell has steps of
    2**``cell_exponent``, so that 2**-11 reaches from -16 to 16; at least 2**-12.
    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """

    cell_exponent: int = -11

    inputs_range: ClassVar[tuple[int, int]] = (4, 4)
    weight_groups: ClassVar[int | None] = GATES

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        expect(LEAST_EXPONENT <= self.cell_exponent <= 0, self, f"a cell in steps of 2**{self.cell_exponent}")
        return super().infer(inputs)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x, weight, recurrent, bias = inputs
        start = x.new_zeros(1, x.shape[0], recurrent.shape[1])
        return (torch.lstm(x, [start, start], [weight, recurrent, bias, torch.zeros_like(bias)], True, 1, 0.0, False, False, True)[0],)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        """TFLM's int8 reference kernel: gates and cell in int16, the hidden state in int8."""
        self.expect_int8(ins, outs)
        x, weight, recurrent, bias = (tensor.to(torch.int64) for tensor in inputs)
        zero_point, (low, high) = tensor_quant(outs[0])[1], activation_range("none", outs[0])
        units = recurrent.shape[1]
        fresh = gate_sums(x - tensor_quant(ins[0])[1], weight, bias, gate_factors(ins[0], ins[1]))
        again, keep, enter, leave = gate_factors(outs[0], ins[2]), *self.factors(outs)
        hidden = torch.zeros(x.shape[0], units, dtype=torch.int64)
        cell, steps = torch.zeros_like(hidden), []
        for step in range(x.shape[1]):
            gates = to_int16(fresh[:, step] + gate_sums(hidden, recurrent, None, again))
            entering, kept, news, leaving = torch.split(gates, units, -1)
            product = scaled(logistic(entering) * hyperbolic_tangent(news), enter)
            cell = to_int16(scaled(logistic(kept) * cell, keep) + product)
            shown = hyperbolic_tangent(cell, self.cell_exponent - LEAST_EXPONENT) * logistic(leaving)
            output = (multiply_by_quantized_multiplier(shown, quantize_multipliers([leave])) + zero_point).clamp(low, high)
            steps.append(output.to(torch.int32))
            hidden = output - zero_point
        return (torch.stack(steps, 1),)

    def factors(self, outs: Sequence[Value]) -> tuple[tuple[int, int], tuple[int, int], float]:
        """Of forget gate times cell and of input gate times news, both to the cell; and, as a real, of what leaves, to the output."""
        return factor(UNIT_SCALE), factor(UNIT_SCALE**2 / 2.0**self.cell_exponent), UNIT_SCALE**2 / tensor_quant(outs[0])[0]
