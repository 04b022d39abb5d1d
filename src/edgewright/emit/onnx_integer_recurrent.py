"""LSTM and GRU in the exact form, step by step: operator → function.

Tensors named here are float64 and hold integers; gates are Q3.12 before their activation and Q0.15 behind it, as in ops/gates.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from edgewright.emit.onnx_integer_arithmetic import (
    cast,
    centred,
    floor_of,
    number,
    requantized,
    scaled,
    sum_bound,
    with_number,
)
from edgewright.emit.onnx_writer import Emit, Tensor, Writer
from edgewright.ir.graph import Node
from edgewright.ir.layout import Layout
from edgewright.ops.gates import INT16_MAX, INT16_MIN, TABLE_STEPS, UNIT_SCALE, factor, gate_factors, sigmoid_table
from edgewright.ops.gru import GRU
from edgewright.ops.lstm import LEAST_EXPONENT, LSTM
from edgewright.ops.requant import INT32_MAX, Multiplier, activation_range, quantize_multipliers, tensor_quant

PRODUCT = 1 << 30
"""No product of two numbers of 16 bits is larger."""


def _lstm(writer: Writer, node: Node) -> Tensor:
    """As :meth:`edgewright.ops.lstm.LSTM.evaluate_integer`."""
    op, outs = node.op, writer.graph.outs(node)
    assert isinstance(op, LSTM)
    keep, enter, leave = op.factors(outs)
    run = _Steps(writer, node)
    cell = ""
    for step in range(run.count):
        gates = run.fresh(step)
        if step:
            gates = run.to_int16(writer.node("Add", [gates, run.again()]))
        entering, kept, news, leaving = (run.part(gates, place) for place in range(4))
        product = run.product(run.logistic(entering), run.tangent(news), enter)
        if step:
            product = run.to_int16(writer.node("Add", [run.product(run.logistic(kept), cell, keep), product]))
        cell = product
        shown = writer.node("Mul", [run.tangent(cell, op.cell_exponent - LEAST_EXPONENT), run.logistic(leaving)])
        run.told(shown, PRODUCT, leave)
    return run.joined()


def _gru(writer: Writer, node: Node) -> Tensor:
    """As :meth:`edgewright.ops.gru.GRU.evaluate_integer`."""
    assert isinstance(node.op, GRU)
    run, unit = _Steps(writer, node), factor(UNIT_SCALE)
    state = number(writer, 0.0)
    for step in range(run.count):
        fresh, old = run.fresh(step), run.again()
        both = run.to_int16(writer.node("Add", [fresh, old]))
        reset, update = (run.logistic(run.part(both, place)) for place in (0, 1))
        news = writer.node("Add", [run.part(fresh, 2), run.product(reset, run.part(old, 2), unit)])
        news = run.tangent(run.to_int16(news))
        moved = writer.node("Mul", [update, writer.node("Sub", [state, news])])
        moved = scaled(writer, moved, INT32_MAX, quantize_multipliers([UNIT_SCALE]))
        state = run.to_int16(writer.node("Add", [news, moved]))
        run.told(state, 1 << 15, UNIT_SCALE / tensor_quant(writer.graph.outs(node)[0])[0])
    return run.joined()


class _Steps:
    """A recurrent layer as it is written: what every step takes from the input, and what came out so far."""

    def __init__(self, writer: Writer, node: Node) -> None:
        self.writer, self.node = writer, node
        graph = writer.graph
        ins, (self.out,) = graph.ins(node), graph.outs(node)
        self.seen = writer.layout(node.inputs[0]).seen
        self.count, self.units = int(ins[0].shape[1] or 1), int(self.out.shape[2] or 1)
        self.again_factors = gate_factors(self.out, ins[2])
        x = centred(writer, writer.fetch(node.inputs[0], self.seen), tensor_quant(ins[0])[1])
        self.sums = self._gates(x, node.inputs[1], node.inputs[3], gate_factors(ins[0], ins[1]))
        self.hidden = writer.constant("start", np.zeros((1, self.units)))
        self.steps: list[str] = []
        table = sigmoid_table().astype(np.float64)
        self.table, self.rises = table, np.diff(table, append=table[-1])

    def _gates(self, x: str, weight: str, bias: str | None, factors: Multiplier) -> str:
        graph, writer = self.writer.graph, self.writer
        rows, more = graph.array(weight), None if bias is None else graph.array(bias)
        sums = writer.node("MatMul", [x, writer.constant(f"{weight}_turned", np.ascontiguousarray(rows.T.astype(np.float64)))])
        if more is not None:
            sums = with_number(writer, "Add", sums, more.astype(np.float64))
        return self.to_int16(scaled(writer, sums, sum_bound(rows, more), factors))

    def fresh(self, step: int) -> str:
        """What the input brings to the gates of ``step``: (N, gates * H)."""
        return self.writer.node("Gather", [self.sums, self.writer.constant("step", np.asarray(step, np.int64))], axis=1)

    def again(self) -> str:
        """What came out a step before brings to the gates."""
        return self._gates(self.hidden, self.node.inputs[2], self.node.inputs[4] if len(self.node.inputs) > 4 else None, self.again_factors)

    def part(self, gates: str, place: int) -> str:
        """One of the gates."""
        places = np.arange(place * self.units, (place + 1) * self.units)
        return self.writer.node("Gather", [gates, self.writer.constant("units", places)], axis=1)

    def to_int16(self, x: str) -> str:
        return self.writer.node("Clip", [x, number(self.writer, INT16_MIN), number(self.writer, INT16_MAX)])

    def product(self, a: str, b: str, by: tuple[int, int]) -> str:
        """a * b times a fixed-point factor, saturated to 16 bits."""
        return self.to_int16(scaled(self.writer, self.writer.node("Mul", [a, b]), PRODUCT, Multiplier((by[0],), (by[1],))))

    def logistic(self, x: str) -> str:
        wide, found = self._interpolated(x, 3, 9, 0x7FFF << 10)
        return self._by_sign(wide, found, 0, (1 << 9), (1 << 25) + (1 << 9) - 1, 10)

    def tangent(self, x: str, left: int = 0) -> str:
        wide, found = self._interpolated(x, 3 << left, 8, 0xFFFF << 8)
        return self._by_sign(wide, found, 0, (1 << 7) - (1 << 23), (1 << 23) + (1 << 7) - 1, 8)

    def _interpolated(self, x: str, by: int, bits: int, end: int) -> tuple[str, str]:
        """``x`` * ``by``, and the table at its magnitude / 2**bits, times 2**bits; ``end`` behind the table."""
        writer = self.writer
        wide = with_number(writer, "Mul", x, by)
        size = writer.node("Abs", [wide])
        place = floor_of(writer, size, 2.0**-bits)
        rest = writer.node("Sub", [size, with_number(writer, "Mul", place, 2.0**bits)])
        last = number(writer, TABLE_STEPS - 1)
        index = cast(writer, writer.node("Min", [place, last]), TensorProto.INT64)
        low = writer.node("Gather", [writer.constant("sigmoid", self.table * 2.0**bits), index])
        rise = writer.node("Gather", [writer.constant("rises", self.rises), index])
        found = writer.node("Add", [low, writer.node("Mul", [rest, rise])])
        return wide, writer.node("Where", [writer.node("Less", [place, last]), found, number(writer, end)])

    def _by_sign(self, wide: str, found: str, zero: int, plus: int, minus: int, bits: int) -> str:
        """floor((found + plus) / 2**bits), or floor((minus - found) / 2**bits) where ``wide`` is below ``zero``."""
        writer = self.writer
        above = floor_of(writer, with_number(writer, "Add", found, plus), 2.0**-bits)
        below = floor_of(writer, writer.node("Sub", [number(writer, minus), found]), 2.0**-bits)
        return writer.node("Where", [writer.node("Less", [wide, number(writer, zero)]), below, above])

    def told(self, x: str, bound: int, real: float) -> None:
        """The hidden state of a step: ``x`` times ``real`` on the output's grid."""
        zero_point, (low, high) = tensor_quant(self.out)[1], activation_range("none", self.out)
        output = requantized(self.writer, x, bound, quantize_multipliers([real]), zero_point, low, high)
        self.steps.append(output)
        self.hidden = centred(self.writer, output, zero_point)

    def joined(self) -> Tensor:
        """All steps: (N, T, H)."""
        axis = self.writer.constant("axes", np.asarray([1], np.int64))
        parts: Sequence[str] = [self.writer.node("Unsqueeze", [step, axis]) for step in self.steps]
        axes = (self.seen[0], self.seen[1], Layout.fresh([self.units], batch=False).seen[0])
        return Tensor(parts[0] if len(parts) == 1 else self.writer.node("Concat", parts, axis=1), Layout(axes, axes))


INTEGER_RECURRENT: dict[str, Emit] = {"LSTM": _lstm, "GRU": _gru}
