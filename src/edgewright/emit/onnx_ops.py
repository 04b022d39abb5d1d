"""How a node is written in ONNX: its operator, its fused activation, the rounding of its output."""

from __future__ import annotations

from edgewright.emit.onnx_ops_attention import ATTENTION
from edgewright.emit.onnx_ops_compute import COMPUTE
from edgewright.emit.onnx_ops_other import OTHER, clip
from edgewright.emit.onnx_ops_recurrent import RECURRENT
from edgewright.emit.onnx_writer import Emit, Tensor, Writer
from edgewright.errors import UnsupportedError
from edgewright.ir.graph import Node, Value
from edgewright.ops.requant import activation_range

TABLE: dict[str, Emit] = {**COMPUTE, **ATTENTION, **RECURRENT, **OTHER}
"""Operator → function."""


def emit_node(writer: Writer, node: Node) -> None:
    """Write ``node``: its operator, its fused activation, and the rounding of its output."""
    writer.where = node.name
    if node.op.kind not in TABLE:
        raise UnsupportedError(f"{node.op.kind} {node.name!r} has no form in ONNX", hint="emit .tflite or C, or replace the operator")
    raw = TABLE[node.op.kind](writer, node)
    value = writer.graph.value(node.outputs[0])
    activation = str(getattr(node.op, "activation", "none"))
    if activation != "none":
        raw = _activated(writer, raw, activation, value)
    writer.define(value, raw)


def _activated(writer: Writer, raw: Tensor, activation: str, value: Value) -> Tensor:
    """The fused activation; where the output is rounded, it is left out if the grid ends there anyway, else it follows a first rounding,
    so that runtimes fuse the operator before it."""
    name = raw.name
    if value.quant is not None:
        low, high = activation_range(activation, value)
        if (low, high) == (value.quant.dtype.minimum, value.quant.dtype.maximum):
            return raw
        name = writer.rounded(name, value.quant, value.name)
    if activation == "relu":
        return Tensor(writer.node("Relu", [name]), raw.layout)
    low_real, high_real = (0.0, 6.0) if activation == "relu6" else (-1.0, 1.0)
    return Tensor(clip(writer, name, low_real, high_real), raw.layout)
