"""What exporters write as two nodes and Edgewright holds as one, where nothing in between is rounded to integers."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import fresh_name, rebuild, replace_nodes
from edgewright.ir.graph import Constant, Graph, Level, Node, Value
from edgewright.ops.add import Add
from edgewright.ops.mean import Mean
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.ops.reshape import Reshape


def drop_unit_axes(graph: Graph) -> Graph:
    """Let a Mean drop its axes itself where a Reshape right behind it does so."""
    replacements: dict[str, list[Node]] = {}
    values, rename = [], {}
    for node in graph.nodes:
        reader = graph.sole_consumer(node.outputs[0])
        if not (isinstance(node.op, Mean) and node.op.keep_dims and reader is not None and isinstance(reader.op, Reshape)):
            continue
        before, after = graph.value(node.outputs[0]), graph.value(reader.outputs[0])
        units = {axis for axis, size in enumerate(graph.ins(node)[0].shape) if size == 1 and axis > 0}
        forms = [Mean(tuple(sorted({*node.op.axes, *more})), keep_dims=False) for more in (set[int](), units)]
        short = next((form for form in forms if form.infer(graph.ins(node)) == (after.shape,)), None)
        if short is not None and before.quant == after.quant:
            replacements.update({node.name: [dataclasses.replace(node, op=short)], reader.name: []})
            values.append(dataclasses.replace(before, shape=after.shape))
            rename[after.name] = before.name
    return replace_nodes(graph, replacements, values=values, rename=rename)


def fuse_biases(graph: Graph) -> Graph:
    """A constant that is added behind a node with weights but without bias becomes its bias (MatMul and Add are a linear layer)."""
    replacements: dict[str, list[Node]] = {}
    constants: dict[str, Constant] = {}
    values: list[Value] = []
    rename: dict[str, str] = {}
    for node in graph.nodes:
        found = _addend(graph, node)
        if found is None:
            continue
        adder, name = found
        weight = graph.value(node.inputs[1])
        channels = int(weight.shape[0] or 1)
        array = np.broadcast_to(graph.array(name).reshape(-1), (channels,)).astype(np.float32)
        bias = fresh_name(graph.values.keys() | constants.keys(), f"{name}.bias" if array.shape != graph.value(name).shape else name)
        quant = graph.value(name).quant or _bias_quant(graph.value(node.inputs[0]), weight)
        values.append(Value(bias, array.shape, DType.FLOAT32, quant))
        constants[bias] = Constant(array)
        replacements.update({node.name: [dataclasses.replace(node, inputs=(*node.inputs, bias), outputs=adder.outputs)], adder.name: []})
    return replace_nodes(graph, replacements, values=values, constants=constants, rename=rename)


def _addend(graph: Graph, node: Node) -> tuple[Node, str] | None:
    """The Add behind ``node`` and the constant that it adds, one number a channel or one for all."""
    if (
        not node.op.weight_inputs
        or node.op.bias_input is None
        or len(node.inputs) > node.op.bias_input
        or graph.value(node.outputs[0]).quant is not None
    ):
        return None
    adder = graph.sole_consumer(node.outputs[0])
    if adder is None or adder.op != Add() or getattr(node.op, "activation", "none") != "none" or not graph.is_constant(node.inputs[1]):
        return None
    name = next((name for name in adder.inputs if name != node.outputs[0]), node.outputs[0])
    if not graph.is_constant(name):
        return None
    value, channels = graph.value(name), graph.value(node.inputs[1]).shape[0]
    wide = value.quant is not None and value.quant.dtype is not DType.INT32
    fits = value.elements == 1 or (value.elements == channels and value.shape[-1] == channels)
    return (adder, name) if fits and not wide else None


def _bias_quant(x: Value, weight: Value) -> Quant | None:
    """The grid of the sums, on which integer runtimes hold a bias; None in float."""
    if x.quant is None or weight.quant is None:
        return None
    scales = np.asarray(weight.quant.scale, np.float32) * np.float32(x.quant.scale[0])
    return Quant.per_axis(np.asarray(scales, np.float32), 0, DType.INT32)


def fuse_activations(graph: Graph) -> Graph:
    """At the quantized level, a rectifier is fused where what stands before it is not rounded, or rounded to the same grid."""
    if graph.level is not Level.QUANTIZED:
        return graph
    replacements: dict[str, list[Node]] = {}
    for node in graph.nodes:
        reader = graph.sole_consumer(node.outputs[0])
        fused = None if reader is None else _rectifier(graph, reader)
        if reader is None or fused is None or getattr(node.op, "activation", "") != "none":
            continue
        if graph.value(node.outputs[0]).quant not in (None, graph.value(reader.outputs[0]).quant):
            continue
        op = dataclasses.replace(node.op, activation=fused)  # type: ignore[call-arg]
        replacements.update({node.name: [dataclasses.replace(node, op=op, outputs=reader.outputs)], reader.name: []})
    return rebuild(replace_nodes(graph, replacements))


def _rectifier(graph: Graph, node: Node) -> str | None:
    """The activation that ``node`` is: Relu, Relu6, or what stands for a clamp to -1 ... 1, an addition of nothing with an activation."""
    if isinstance(node.op, Relu):
        return "relu"
    if isinstance(node.op, Relu6):
        return "relu6"
    if (
        isinstance(node.op, Add)
        and node.op.activation != "none"
        and graph.is_constant(node.inputs[1])
        and not graph.array(node.inputs[1]).any()
    ):
        return node.op.activation
    return None
