"""Nodes that hand on what they are given leave."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from edgewright.analysis.bounds import Bounds, value_bounds
from edgewright.ir.dtype import DType
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph, Level, Node, Value
from edgewright.ops.add import Add
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.concat import Concat
from edgewright.ops.leaky_relu import LeakyRelu
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.mean import Mean
from edgewright.ops.mul import Mul
from edgewright.ops.pad import Pad
from edgewright.ops.pointwise import lookup_table
from edgewright.ops.prelu import PRelu
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.ops.requantize import Requantize
from edgewright.ops.reshape import Reshape
from edgewright.ops.resize import Resize
from edgewright.ops.slice import Slice
from edgewright.ops.sub import Sub
from edgewright.ops.transpose import Transpose
from edgewright.passes.bypass import bypass
from edgewright.passes.registry import Context, graph_pass

# The least and greatest input between which a clamp changes nothing.
_UNCHANGED = {Relu: (0.0, math.inf), Relu6: (0.0, 6.0), LeakyRelu: (0.0, math.inf), PRelu: (0.0, math.inf)}
# Operators that hand on their whole input when the shape stays.
_GATHERS = (Reshape, Slice, Pad, Concat, Resize)


@graph_pass(level="float|integer", exact=True)
def remove_identities(graph: Graph, ctx: Context) -> Graph:
    """Remove nodes that change nothing, such as a reshape to the same shape, padding by nothing, or a rectifier of what is never negative.

    A mean over axes of size 1 becomes a reshape. Graph outputs keep their names.
    """
    bounds = value_bounds(graph)
    same: dict[str, str] = {}
    reshaped: dict[str, Node] = {}
    for node in graph.nodes:
        if len(node.outputs) != 1:
            continue
        index = _identity(graph, node, bounds)
        if index is not None and _interchangeable(graph.value(node.inputs[index]), graph.value(node.outputs[0])):
            same[node.outputs[0]] = node.inputs[index]
        elif _is_unit_mean(graph, node):
            reshaped[node.name] = dataclasses.replace(node, op=Reshape(graph.value(node.outputs[0]).shape))
    if reshaped:
        graph = rebuild(graph, nodes=[reshaped.get(node.name, node) for node in graph.nodes])
    result = bypass(graph, same)
    left = {node.name for node in result.nodes}
    for node in graph.nodes:
        if node.name not in left:
            ctx.did(node.name, f"{node.op.kind} that changes nothing removed")
        elif node.name in reshaped:
            ctx.did(node.name, "mean over axes of size 1 made a reshape")
    return result


def _interchangeable(first: Value, second: Value) -> bool:
    return dataclasses.replace(first, name=second.name) == second


def _identity(graph: Graph, node: Node, bounds: dict[str, Bounds]) -> int | None:
    """The index of the input that output 0 of ``node`` equals, or None."""
    op, value = node.op, graph.value(node.outputs[0])
    first = graph.value(node.inputs[0])
    if graph.level is Level.INTEGER and op.pointwise and first.dtype is DType.INT8 and value.dtype is DType.INT8:
        start, end = (int(bound) + 128 for bound in bounds[first.name])
        unchanged = np.arange(-128, 128)[start:end + 1]
        return 0 if np.array_equal(lookup_table(op, first, value)[start:end + 1], unchanged) else None
    if isinstance(op, Requantize):
        return 0 if first.quant == value.quant else None
    if isinstance(op, Slice) and any(step < 0 and size != 1 for step, size in zip(op.stride, op.size, strict=True)):
        return None
    if isinstance(op, _GATHERS):
        return 0 if len(node.inputs) == 1 and first.shape == value.shape else None
    if isinstance(op, Transpose):
        return 0 if op.permutation == tuple(range(first.rank)) else None
    if isinstance(op, (MaxPool2D, AveragePool2D)):
        return 0 if op.kernel == op.stride == (1, 1) and first.shape == value.shape and op.activation == "none" else None
    if isinstance(op, Mean):
        return 0 if op.keep_dims and _is_unit_mean(graph, node) else None
    if graph.level is Level.FLOAT:
        if isinstance(op, (Add, Sub, Mul)):
            return _neutral_operand(graph, node, op)
        for kind, (low, high) in _UNCHANGED.items():
            if isinstance(op, kind):
                least, greatest = bounds[first.name]
                return 0 if low <= least and greatest <= high else None
    return None


def _is_unit_mean(graph: Graph, node: Node) -> bool:
    """Whether ``node`` averages single elements, on one grid."""
    first, value = graph.value(node.inputs[0]), graph.value(node.outputs[0])
    return isinstance(node.op, Mean) and all(first.shape[axis] == 1 for axis in node.op.axes) and first.quant == value.quant


def _neutral_operand(graph: Graph, node: Node, op: Add | Sub | Mul) -> int | None:
    """The operand that stays when the other one is constant 0 (1 for a product)."""
    if op.activation != "none":
        return None
    neutral = 1.0 if isinstance(op, Mul) else 0.0
    for index, name in enumerate(node.inputs):
        if not graph.is_constant(name) or (isinstance(op, Sub) and index == 0):
            continue
        if np.all(graph.array(name) == neutral) and graph.value(node.inputs[1 - index]).shape == graph.value(node.outputs[0]).shape:
            return 1 - index
    return None
