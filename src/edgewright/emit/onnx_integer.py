"""The exact form in ONNX: the integer arithmetic of the device in standard operators, for any runtime that computes as ONNX says."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from edgewright.emit.onnx_integer_arithmetic import UNSIGNED, number
from edgewright.emit.onnx_integer_attention import INTEGER_ATTENTION
from edgewright.emit.onnx_integer_layers import LAYERS
from edgewright.emit.onnx_integer_other import OTHER
from edgewright.emit.onnx_integer_recurrent import INTEGER_RECURRENT
from edgewright.emit.onnx_writer import BASE_OPSET, Array, Emit, Tensor, Writer, layout_of
from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Graph, Level, Node, Value
from edgewright.ir.layout import Axes, Layout
from edgewright.ir.layout_plan import rearranged

TABLE: dict[str, Emit] = {**LAYERS, **INTEGER_ATTENTION, **INTEGER_RECURRENT, **OTHER}
"""Operator → function; its tensor holds the integers of the output, higher by 128, as uint8."""


def audit_integer(graph: Graph) -> None:
    """UnsupportedError that names everything that keeps ``graph`` from the exact form."""
    if graph.level is not Level.INTEGER:
        hint = "optimize it with recipe w8a8, or write it with int8 or uint8 activations"
        raise UnsupportedError(f"{graph.name!r} is at the {graph.level.value} level, the exact form in ONNX takes integers", hint=hint)
    found = [f"{node.op.kind} {node.name!r}" for node in graph.nodes if node.op.kind not in TABLE]
    computed = [value for name, value in graph.values.items() if not graph.is_constant(name)]
    computed = [value for value in computed if value.name not in graph.indices and value.dtype not in (DType.INT8, DType.FLOAT32)]
    found += [f"{value.dtype.value} {value.name!r}" for value in computed]
    found += [f"the constant output {name!r}" for name in graph.outputs if graph.is_constant(name)]
    if found:
        raise UnsupportedError(f"the exact form in ONNX has no {', '.join(found)}", hint="emit .tflite or C, or QDQ (int8, uint8)")


def emit_integer(writer: Writer, node: Node) -> None:
    """Write ``node`` as the device computes it."""
    writer.where = node.name
    writer.define(writer.graph.value(node.outputs[0]), TABLE[node.op.kind](writer, node))


class IntegerWriter(Writer):
    """Activations are uint8, higher by 128 than the int8 of the graph; at the edges of the file they are int8, in the axes of the graph."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph, unsigned=True, orders={})
        self.opset = BASE_OPSET

    def input(self, value: Value) -> Layout:
        """Declare a graph input or state, held as the graph has it."""
        layout = layout_of(value, range(value.rank))
        self.where = value.name
        self.tensors[value.name] = Tensor(self._shifted(value.name, UNSIGNED, TensorProto.UINT8) if _is_int8(value) else value.name, layout)
        return layout

    def edge_type(self, value: Value) -> int:
        return TensorProto.INT8 if _is_int8(value) else super().edge_type(value)

    def edge_axes(self, layout: Layout) -> Axes:
        return layout.seen

    def edge_array(self, value: Value, array: Array) -> Array:
        return array

    def leave(self, name: str, wanted: Axes) -> str:
        tensor = self.fetch(name, wanted)
        return self._shifted(tensor, -UNSIGNED, TensorProto.INT8) if _is_int8(self.graph.value(name)) else tensor

    def define(self, value: Value, raw: Tensor) -> None:
        self.tensors[value.name] = raw

    def rounded(self, name: str, quant: Quant, stem: str) -> str:
        """Integers are on their grid."""
        return name

    def operand(self, name: str, layout: Layout, wanted: Axes) -> str:
        """A constant that stands where an activation could, in ``wanted`` axes."""
        array = np.asarray(self.graph.array(name)).reshape(layout.shape)
        return self.constant(name, (rearranged(array, layout.held, wanted).astype(np.int32) + UNSIGNED).astype(np.uint8))

    def _shifted(self, name: str, amount: int, kind: int) -> str:
        moved = self.node("Add", [self.node("Cast", [name], to=TensorProto.INT32), number(self, amount, np.int32)])
        return self.node("Cast", [moved], to=kind)


def _is_int8(value: Value) -> bool:
    return value.dtype is DType.INT8
