"""ONNX files: float, with QuantizeLinear and DequantizeLinear (QDQ), with weights alone quantized, or with half-precision weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewright.emit.onnx_ops import emit_node
from edgewright.emit.onnx_writer import BASE_OPSET, BATCH, Writer
from edgewright.errors import RecipeError, UnsupportedError
from edgewright.ir.graph import Graph, Level, Value
from edgewright.ir.layout import Layout, shape_of
from edgewright.ir.layout_plan import channels_first

ACTIVATIONS = ("int8", "uint8")
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
    """
    if activations not in ACTIVATIONS:
        raise RecipeError(f"unknown type of activations {activations!r}", hint=f"one of {', '.join(ACTIVATIONS)}")
    writer, model = _write(graph, activations == "uint8", {})
    if writer.wishes:
        other, turned = _write(graph, activations == "uint8", writer.wishes)
        if other.transposes < writer.transposes:
            model = turned
    if model.ByteSize() > MOST_BYTES:
        raise UnsupportedError(f"{graph.name!r} takes more than 2 GiB in ONNX", hint="quantize it first")
    return {f"{graph.name}.onnx": model.SerializeToString(deterministic=True)}


def _write(graph: Graph, unsigned: bool, orders: Mapping[str, tuple[int, ...]]) -> tuple[Writer, onnx.ModelProto]:
    writer = Writer(graph, unsigned=unsigned, orders=orders)
    entering = [*graph.inputs, *(state.read for state in graph.states)]
    leaving = [*graph.outputs, *(state.write for state in graph.states)]
    inputs = [_described(name, writer.input(graph.value(name))) for name in entering]
    for node in graph.nodes:
        emit_node(writer, node)
    outputs, records = [], []
    renamed: dict[str, str] = {}
    for name in leaving:
        described, record = _output(writer, name, renamed)
        outputs.append(described)
        records.append(record)
    writer.rename(renamed)
    layouts = [_record(graph.value(name), writer.tensors[name].layout, name) for name in entering]
    metadata: dict[str, Any] = {"inputs": layouts[: len(graph.inputs)], "outputs": records[: len(graph.outputs)], "states": []}
    for index, state in enumerate(graph.states):
        initial = _initial(writer, state.initial, state.read)
        metadata["states"].append(
            {"read": layouts[len(graph.inputs) + index], "write": records[len(graph.outputs) + index], "initial": initial}
        )
    body = helper.make_graph(writer.nodes, graph.name, inputs, outputs, writer.initializers)
    opset = writer.opset if writer.opset in IR_VERSIONS else BASE_OPSET
    model = helper.make_model(
        body, producer_name="edgewright", ir_version=IR_VERSIONS[opset], opset_imports=[helper.make_opsetid("", opset)]
    )
    helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata)})
    return writer, model


def _described(name: str, layout: Layout) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH if size is None else size for size in shape_of(layout.held)])


def _record(value: Value, layout: Layout, name: str) -> dict[str, Any]:
    """What a user of the file needs to give or take a value as the graph does: its axes, and its integers."""
    record: dict[str, Any] = {"name": name, "order": _order(layout)}
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
    planes = tuple(layout.seen[axis] for axis in channels_first(layout.rank))
    wanted = planes if layout.rank == 4 or (layout.rank == 3 and layout.held == planes) else layout.seen
    held = Layout(layout.seen, wanted)
    tensor = writer.fetch(name, wanted)
    entering = {*writer.graph.inputs, *(state.read for state in writer.graph.states)}
    final = name if name not in entering and name not in renamed.values() else writer.fresh(f"{name}/output")
    if tensor in entering or tensor in renamed:
        writer.node("Identity", [tensor], output=final)
    else:
        renamed[tensor] = final
    return _described(final, held), _record(value, held, final)


def _initial(writer: Writer, name: str, read: str) -> str:
    """The initializer with the first content of a state, as the file holds the state."""
    value, layout = writer.graph.value(read), writer.tensors[read].layout
    array = np.asarray(writer.graph.array(name))
    if value.quant is not None:
        integers = array if writer.graph.level is Level.INTEGER else value.quant.to_integer(np.asarray(array, np.float32))
        array = value.quant.to_real(integers)
    fresh = writer.fresh(f"{read}/initial")
    writer.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array.astype(np.float32).transpose(_order(layout))), fresh))
    return fresh
