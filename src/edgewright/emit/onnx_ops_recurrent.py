"""Emission of recurrent operators: operator → function."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.emit.onnx_writer import Emit, Tensor, Writer
from edgewright.ir.graph import Node
from edgewright.ir.layout import Layout
from edgewright.ops.gru import GRU

LSTM_ORDER, GRU_ORDER = (0, 3, 1, 2), (1, 0, 2)
"""Where our gates stand in ONNX's order: input, output, forget, cell; and update, reset, hidden."""


def _layer(op_type: str, order: Sequence[int]) -> Emit:
    def emit(writer: Writer, node: Node) -> Tensor:
        """The time comes first in ONNX Runtime, and an axis of directions behind it."""
        seen = writer.layout(node.inputs[0]).seen
        x = writer.node("Transpose", [writer.fetch(node.inputs[0], seen)], perm=[1, 0, 2])
        weight, recurrent = (_unsqueezed(writer, writer.weight(name, (0, 1), rows=order)) for name in node.inputs[1:3])
        biases = [writer.weight(name, (0,), rows=order) for name in node.inputs[3:]]
        if len(biases) == 1:
            biases.append(writer.constant("zeros", np.zeros(writer.graph.value(node.inputs[3]).elements, np.float32)))
        bias = _unsqueezed(writer, writer.node("Concat", biases, axis=0))
        units = int(writer.graph.value(node.outputs[0]).shape[2] or 1)
        inputs = [x, weight, recurrent, bias]
        if isinstance(node.op, GRU):
            y = writer.node(op_type, inputs, hidden_size=units, linear_before_reset=1)
        else:
            y = writer.node(op_type, inputs, hidden_size=units)
        steps = writer.node("Squeeze", [y, writer.constant("axes", np.asarray([1], np.int64))])
        axes = (seen[0], seen[1], Layout.fresh([units], batch=False).seen[0])
        return Tensor(writer.node("Transpose", [steps], perm=[1, 0, 2]), Layout(axes, axes))

    return emit


def _unsqueezed(writer: Writer, name: str) -> str:
    return writer.node("Unsqueeze", [name, writer.constant("axes", np.asarray([0], np.int64))])


RECURRENT: dict[str, Emit] = {"LSTM": _layer("LSTM", LSTM_ORDER), "GRU": _layer("GRU", GRU_ORDER)}
