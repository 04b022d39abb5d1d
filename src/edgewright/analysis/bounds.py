"""What numbers a value can hold at all."""

from __future__ import annotations

import math

import numpy as np

from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph, Level, Node, Value
from edgewright.ops.pointwise import lookup_table
from edgewright.ops.requant import activation_range

Bounds = tuple[float, float]
"""Least and greatest number, both possible to reach or not; infinite where nothing is known."""

_ACTIVATIONS = {"none": (-math.inf, math.inf), "relu": (0.0, math.inf), "relu6": (0.0, 6.0), "relu_n1_to_1": (-1.0, 1.0)}


def value_bounds(graph: Graph) -> dict[str, Bounds]:
    """Value name → bounds, in the value's own numbers: reals at the float and quantized levels, integers at the integer level."""
    integer = graph.level is Level.INTEGER
    bounds = {name: _whole(value, integer) for name, value in graph.values.items()}
    for name, constant in graph.constants.items():
        if constant.array.size:
            bounds[name] = (float(constant.array.min()), float(constant.array.max()))
    for node in graph.nodes:
        for value in graph.outs(node):
            low, high = _integer_bounds(graph, node, value, bounds) if integer else _real_bounds(node, bounds)
            bounds[value.name] = (max(low, bounds[value.name][0]), min(high, bounds[value.name][1]))
    return bounds


def _whole(value: Value, integer: bool) -> Bounds:
    return (value.dtype.minimum, value.dtype.maximum) if integer and value.dtype.is_integer else (-math.inf, math.inf)


def _real_bounds(node: Node, bounds: dict[str, Bounds]) -> Bounds:
    low, high = node.op.bounds([bounds[name] for name in node.inputs])
    least, greatest = _ACTIVATIONS[getattr(node.op, "activation", "none")]
    return min(max(low, least), greatest), max(min(high, greatest), least)


def _integer_bounds(graph: Graph, node: Node, value: Value, bounds: dict[str, Bounds]) -> Bounds:
    """Exact for int8 operators with a table; for the others only clamps and gathers tell something."""
    low, high = _whole(value, True)
    first = graph.value(node.inputs[0])
    if node.op.pointwise and first.dtype is DType.INT8 and value.dtype is DType.INT8:
        start, end = (int(bound) + 128 for bound in bounds[first.name])
        part = lookup_table(node.op, first, value)[start:end + 1]
        return float(part.min()), float(part.max())
    if node.op.same_quant and value.quant is not None and value.quant.axis is None:
        scale, zero_point = value.quant.scale[0], value.quant.zero_point[0]
        reals = [tuple(scale * (bound - zero_point) for bound in bounds[name]) for name in node.inputs]
        ends = [float(np.rint(bound / scale)) + zero_point for bound in node.op.bounds([(pair[0], pair[1]) for pair in reals])]
        low, high = max(low, ends[0]), min(high, ends[1])
    if hasattr(node.op, "activation") and value.dtype.is_integer:
        least, greatest = activation_range(node.op.activation, value)
        low, high = min(max(low, least), greatest), max(min(high, greatest), least)
    return low, high
