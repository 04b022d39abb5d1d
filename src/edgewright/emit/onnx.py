"""ONNX files: float, with QuantizeLinear and DequantizeLinear (QDQ), with weights alone quantized, or with half-precision weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewright.emit.onnx_integer import IntegerWriter, audit_integer, emit_integer
from edgewright.emit.onnx_ops import emit_node
from edgewright.emit.onnx_writer import BASE_OPSET, BATCH, Writer
from edgewright.errors import RecipeError, UnsupportedError
from edgewright.ir.graph import Graph, Node
from edgewright.ir.layout import Layout, shape_of

ACTIVATIONS = ("int8", "uint8", "exact")
IR_VERSIONS = {17: 8, 21: 10}
MOST_BYTES = (1 << 31) - 1
"""A protobuf message cannot be larger."""
METADATA_KEY = "edgewright"


def emit_onnx(graph: Graph, *, activations: str = "int8") -> dict[str, bytes]:
    """``NAME.onnx`` for a graph of any level. Opset 17, or 21 where int4 or int16 are needed; the batch is dynamic where the graph's is.

    Inputs and outputs are floats and, as users of ONNX expect, channels-first: (N, H, W, C) of the graph is (N, C, H, W) in the file; three
    axes are turned to (N, C, L) where a convolution reads them, all others stand as in the graph. The model's metadata says for each.
    Quantized and integer graphs are written as QDQ: int8 weights per channel, int32 biases, ``activations`` int8 (TensorRT) or uint8 with
    zero points higher by 128 (what ONNX Runtime fuses fully on x86). Weights that are quantized behind float activations are dense layers
    with dynamic quantization, or int8 behind a DequantizeLinear for convolutions. States become inputs and outputs of the file.

    QDQ rounds once, where a device rounds twice. ``activations`` exact writes the device's own integer arithmetic (:mod:`onnx_integer`):
    every runtime gives the bytes of the device, for int8 inputs in the axes of the graph. UnsupportedError where a graph is not all int8.
    """
    if activations not in ACTIVATIONS:
        raise RecipeError(f"unknown type of activations {activations!r}", hint=f"one of {', '.join(ACTIVATIONS)}")
    if activations == "exact":
        audit_integer(graph)
        model = _write(IntegerWriter(graph), emit_integer)
    else:
        writer = Writer(graph, unsigned=activations == "uint8", orders={})
        model = _write(writer, emit_node)
        if writer.wishes:
            other = Writer(graph, unsigned=activations == "uint8", orders=writer.wishes)
            turned = _write(other, emit_node)
            model = turned if other.transposes < writer.transposes else model
    if model.ByteSize() > MOST_BYTES:
        raise UnsupportedError(f"{graph.name!r} takes more than 2 GiB in ONNX", hint="quantize it first")
    return {f"{graph.name}.onnx": model.SerializeToString(deterministic=True)}


def _write(writer: Writer, emit: Callable[[Writer, Node], None]) -> onnx.ModelProto:
    graph = writer.graph
    entering = [*graph.inputs, *(state.read for state in graph.states)]
    leaving = [*graph.outputs, *(state.write for state in graph.states)]
    held = {name: writer.input(graph.value(name)) for name in entering}
    inputs = [_described(name, layout, writer.edge_type(graph.value(name))) for name, layout in held.items()]
    for node in graph.nodes:
        emit(writer, node)
    outputs, records = [], []
    renamed: dict[str, str] = {}
    for name in leaving:
        described, record = _output(writer, name, renamed)
        outputs.append(described)
        records.append(record)
    writer.rename(renamed)
    layouts = [_record(writer, name, layout, name) for name, layout in held.items()]
    metadata: dict[str, Any] = {"inputs": layouts[: len(graph.inputs)], "outputs": records[: len(graph.outputs)], "states": []}
    for index, state in enumerate(graph.states):
        initial = _initial(writer, state.initial, state.read, held[state.read])
        metadata["states"].append(
            {"read": layouts[len(graph.inputs) + index], "write": records[len(graph.outputs) + index], "initial": initial}
        )
    body = helper.make_graph(writer.nodes, graph.name, inputs, outputs, writer.initializers)
    opset = writer.opset if writer.opset in IR_VERSIONS else BASE_OPSET
    model = helper.make_model(
        body, producer_name="edgewright", ir_version=IR_VERSIONS[opset], opset_imports=[helper.make_opsetid("", opset)]
    )
    helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata)})
    return model


def _described(name: str, layout: Layout, kind: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [BATCH if size is None else size for size in shape_of(layout.held)])


def _record(writer: Writer, name: str, layout: Layout, tensor: str) -> dict[str, Any]:
    """What a user of the file needs to give or take a value as the graph does: its axes, and its integers."""
    value = writer.graph.value(name)
    record: dict[str, Any] = {"name": tensor, "order": _order(layout)}
    if name in writer.graph.indices:
        return record | {"indices": True}
    if writer.edge_type(value) != TensorProto.FLOAT:
        record["integers"] = True
    if value.dtype.is_integer and value.quant is not None:
        record.update(dtype=value.dtype.value, scale=value.quant.scale[0], zero_point=value.quant.zero_point[0])
    return record


def _order(layout: Layout) -> list[int]:
    """The graph's axes in the order of the file's."""
    left = list(range(layout.rank))
    order = []
    for group in layout.held:
        axis = next(axis for axis in left if layout.seen[axis] == group)
        left.remove(axis)
        order.append(axis)
    return order


def _output(writer: Writer, name: str, renamed: dict[str, str]) -> tuple[onnx.ValueInfoProto, dict[str, Any]]:
    """Give an output of the graph its axes and, by way of ``renamed``, its name in the file."""
    writer.where = name
    value, layout = writer.graph.value(name), writer.layout(name)
    if writer.graph.is_constant(name):
        raise UnsupportedError(f"output {name!r} is a constant", hint="leave it out of the network")
    held = Layout(layout.seen, writer.edge_axes(layout))
    tensor = writer.leave(name, held.held)
    entering = {*writer.graph.inputs, *(state.read for state in writer.graph.states)}
    final = name if name not in entering and name not in renamed.values() else writer.fresh(f"{name}/output")
    if tensor in entering or tensor in renamed:
        writer.node("Identity", [tensor], output=final)
    else:
        renamed[tensor] = final
    return _described(final, held, writer.edge_type(value)), _record(writer, name, held, final)


def _initial(writer: Writer, name: str, read: str, layout: Layout) -> str:
    """The initializer with the first content of a state, as the file holds the state."""
    array = writer.edge_array(writer.graph.value(read), np.asarray(writer.graph.array(name)))
    fresh = writer.fresh(f"{read}/initial")
    writer.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array.transpose(_order(layout))), fresh))
    return fresh
