"""Layers of a quantized network that take and give int16 instead of int8: which can, what lies between them, and the network with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import fresh_name, rebuild
from edgewright.ir.graph import Constant, Graph, Node, Value
from edgewright.numerics.scales import BIAS_STEPS, bias_quant
from edgewright.ops.requant import MOST_SHIFT, affine_quant
from edgewright.passes.precision.activation_widths import Widths, activation_widths
from edgewright.passes.registry import Context


def activations(graph: Graph) -> list[list[str]]:
    """The int8 activations of the network, each with those that are the same numbers moved."""
    found: dict[str, list[str]] = {}
    for name in graph.inputs:
        found[name] = [name]
    for node in graph.nodes:
        source = next((name for name in node.inputs if name in found), None) if node.op.same_quant else None
        for name in node.outputs:
            found[name] = [name] if source is None else found[source]
            if source is not None:
                found[name].append(name)
    distinct = {id(members): members for members in found.values()}
    return [members for members in distinct.values() if all(_type(graph, name) is DType.INT8 for name in members)]


def around(graph: Graph, members: Sequence[str]) -> list[Node]:
    """What makes and reads ``members``."""
    makers = [graph.producers[name] for name in members if name in graph.producers]
    return makers + [node for name in members for node in graph.consumers.get(name, ())]


def fitting(graph: Graph, nodes: Sequence[Node], ctx: Context) -> list[Node]:
    """Those of ``nodes`` that can be widened; the report says why the others cannot."""
    reasons = {node.name: refused(graph, node) for node in nodes}
    for name, why in reasons.items():
        if why:
            ctx.skipped(name, why)
    return [node for node in nodes if not reasons[node.name]]


def refused(graph: Graph, node: Node) -> str:
    """Why ``node`` cannot be widened; empty where it can."""
    why = "" if node.op.takes_int16 else f"{node.op.kind} has no int16 form"
    if _is_wide(graph, node.outputs[0]):
        why = "it is int16 already"
    elif not why and (index := node.op.bias_input) is not None and index < len(node.inputs):
        quant = _bias_quant(graph, node)
        if np.any(np.abs(graph.array(node.inputs[index])) > np.asarray(quant.scale) * BIAS_STEPS):
            why = "its bias would not fit into 32 bits"
    if not why and node.op.weight_inputs and _factor(graph, node) >= 2.0**MOST_SHIFT:
        why = "its sums would be scaled by 128 or more"
    return why


def widened(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """Quantized ``graph`` with ``nodes``, each of which can be, taking and giving int16, and a Requantize where the width changes."""
    if not nodes:
        return graph
    names = {node.name for node in nodes}
    return _requantized(graph, activation_widths(graph, lambda node: node.name in names or _is_wide(graph, node.outputs[0])), names)


def _is_wide(graph: Graph, name: str) -> bool:
    return _type(graph, name) is DType.INT16


def _type(graph: Graph, name: str) -> DType | None:
    quant = graph.value(name).quant
    return None if quant is None else quant.dtype


def _factor(graph: Graph, node: Node) -> float:
    """The greatest factor of sums of products between int16 data and outputs."""
    weight = graph.value(node.inputs[node.op.weight_inputs[0]]).quant
    assert weight is not None
    ends = [_grid(graph.value(name).quant, DType.INT16).scale[0] for name in (node.inputs[0], node.outputs[0])]
    return max(weight.scale) * ends[0] / ends[1]


def _grid(quant: Quant | None, dtype: DType) -> Quant:
    """The grid of ``dtype`` over the range of ``quant``."""
    assert quant is not None
    if quant.dtype is dtype:
        return quant
    low, high = (quant.scale[0] * (end - quant.zero_point[0]) for end in (quant.dtype.minimum, quant.dtype.maximum))
    return affine_quant(low, high, dtype)


def _bias_quant(graph: Graph, node: Node) -> Quant:
    """The grid of the bias beside int16 data."""
    weight = graph.value(node.inputs[1]).quant
    assert weight is not None
    return bias_quant(weight, _grid(graph.value(node.inputs[0]).quant, DType.INT16).scale[0])


def _requantized(graph: Graph, widths: Widths, names: Container[str]) -> Graph:
    """The graph of ``widths`` with every activation on the grid of its type, and copies of what the nodes ``names`` read as constants."""
    values: list[Value] = []
    for name, dtype in widths.types.items():
        value = widths.graph.value(name)
        if dtype is not DType.INT16 and not _is_wide(widths.graph, name):
            continue
        node = widths.graph.producers.get(name)
        fixed = None if node is None else node.op.output_quant(widths.graph.ins(node), node.outputs.index(name), dtype)
        quant = _grid(value.quant, dtype) if fixed is None else Quant.per_tensor(*fixed, dtype)
        values.append(dataclasses.replace(value, quant=quant))
    grids = {name: value.quant for name, value in widths.graph.values.items()} | {value.name: value.quant for value in values}
    taken, before = {*widths.graph.values}, {node.name: node for node in graph.nodes}
    constants: dict[str, Constant] = {}
    nodes = []
    for node in widths.graph.nodes:
        inputs = list(node.inputs)
        for index, name in enumerate(node.inputs) if node.name in names else ():
            if not graph.is_constant(name) or index in (*node.op.weight_inputs, *node.op.int8_inputs):
                continue
            quant = _bias_quant(graph, before[node.name]) if index == node.op.bias_input else _operand(graph.array(name))
            if node.op.same_quant:
                quant = grids[node.outputs[0]] or quant
            inputs[index] = fresh_name(taken, f"{name}_{node.name}")
            taken.add(inputs[index])
            constants[inputs[index]] = graph.constants[name]
            values.append(dataclasses.replace(graph.value(name), name=inputs[index], quant=quant))
        nodes.append(dataclasses.replace(node, inputs=tuple(inputs)))
    return rebuild(widths.graph, nodes=nodes, values=values, constants=constants)


def _operand(array: NDArray[np.generic]) -> Quant:
    """The grid of a constant that stands where an activation could."""
    return affine_quant(float(array.min(initial=0)), float(array.max(initial=0)), DType.INT16)
