"""Gated recurrent units over a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewright.ir.graph import Value
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

GATES = 3


@dataclass(frozen=True)
class GRU(Recurrent):
    """Inputs: x (N, T, I); weight (3 H, I); recurrent weight (3 H, H); bias (3 H,); recurrent bias (3 H,). Output: the hidden state after
    each step (N, T, H).

    Gates stand in the order reset, update, new; the reset gate multiplies the new gate's recurrent part with its bias. The state starts at
    zero. Source: Cho et al. 2014 (arXiv:1406.1078), in the form of cuDNN, torch, and ONNX with linear_before_reset.
    """

    inputs_range: ClassVar[tuple[int, int]] = (5, 5)
    weight_groups: ClassVar[int | None] = GATES

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x, *weights = inputs
        start = x.new_zeros(1, x.shape[0], weights[1].shape[1])
        return (torch.gru(x, start, weights, True, 1, 0.0, False, False, True)[0],)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        """Edgewright's own arithmetic, as there is no reference kernel: gates as those of LSTM, the state in Q0.15 beside its int8 form."""
        self.expect_int8(ins, outs)
        x, weight, recurrent, bias, recurrent_bias = (tensor.to(torch.int64) for tensor in inputs)
        zero_point, (low, high) = tensor_quant(outs[0])[1], activation_range("none", outs[0])
        units = recurrent.shape[1]
        fresh = gate_sums(x - tensor_quant(ins[0])[1], weight, bias, gate_factors(ins[0], ins[1]))
        again, leave = gate_factors(outs[0], ins[2]), quantize_multipliers([UNIT_SCALE / tensor_quant(outs[0])[0]])
        hidden = torch.zeros(x.shape[0], units, dtype=torch.int64)
        state, steps, unit = torch.zeros_like(hidden), [], factor(UNIT_SCALE)
        for step in range(x.shape[1]):
            old = gate_sums(hidden, recurrent, recurrent_bias, again)
            reset, update = (logistic(to_int16(fresh[:, step, part] + old[:, part])) for part in (slice(units), slice(units, 2 * units)))
            news = hyperbolic_tangent(to_int16(fresh[:, step, 2 * units:] + scaled(reset * old[:, 2 * units:], unit)))
            state = to_int16(news + multiply_by_quantized_multiplier(update * (state - news), quantize_multipliers([UNIT_SCALE])))
            output = (multiply_by_quantized_multiplier(state, leave) + zero_point).clamp(low, high)
            steps.append(output.to(torch.int32))
            hidden = output - zero_point
        return (torch.stack(steps, 1),)
