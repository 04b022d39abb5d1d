"""Transposes meet and cancel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.analysis.linear import Edits
from edgewright.ir.graph import Constant, Graph, Node, Value
from edgewright.ir.operator import Operator
from edgewright.ops.add import Add
from edgewright.ops.concat import Concat
from edgewright.ops.log_softmax import LogSoftmax
from edgewright.ops.mean import Mean
from edgewright.ops.mul import Mul
from edgewright.ops.pad import Pad
from edgewright.ops.prelu import PRelu
from edgewright.ops.reshape import Reshape
from edgewright.ops.slice import Slice
from edgewright.ops.softmax import Softmax
from edgewright.ops.sub import Sub
from edgewright.ops.transpose import Transpose
from edgewright.passes.bypass import bypass
from edgewright.passes.registry import Context, graph_pass

Permutation = tuple[int, ...]


@graph_pass(level="float|integer", exact=True)
def cancel_transposes(graph: Graph, ctx: Context) -> Graph:
    """Move transposes through operators that do not mind, wherever some of them cancel or fewer elements have to be moved.

    Transposes in a row become one; one that only moves axes of size 1 becomes a reshape.
    """
    graph = _as_reshapes(graph, ctx)
    while True:
        for node in graph.nodes:
            if isinstance(node.op, Transpose):
                region = _region(graph, node, node.op.permutation)
                gain = _gain(graph, region)
                if gain > 0:
                    ctx.did(node.name, f"moved through {len(region.nodes)} operators: {gain} elements less to transpose")
                    graph = _turn(graph, region)
                    break
        else:
            return graph


def _as_reshapes(graph: Graph, ctx: Context) -> Graph:
    edits = Edits(graph)
    for node in graph.nodes:
        if not isinstance(node.op, Transpose):
            continue
        shape = graph.value(node.inputs[0]).shape
        wide = [axis for axis in node.op.permutation if shape[axis] != 1]
        if wide == sorted(wide) and node.op.permutation != _straight(len(shape)):
            edits.nodes[node.name] = [dataclasses.replace(node, op=Reshape(graph.value(node.outputs[0]).shape))]
            ctx.did(node.name, "moves only axes of size 1: made a reshape")
    return edits.apply() if edits.nodes else graph


@dataclass(frozen=True)
class _Region:
    """Operators behind transposes by ``permutation`` that can as well work on what those transposes are given.

    ``entries``: outputs of transposes that the region reads. ``nodes``: name → the operator as it is before the transpose.
    ``readers``: transposes that read a value of the region, and means that give the same either way, with their operators likewise.
    ``exits``: values that others read, and that must be transposed for them.
    """

    permutation: Permutation
    entries: tuple[str, ...]
    nodes: dict[str, Operator]
    readers: dict[str, Operator]
    exits: frozenset[str]


def _region(graph: Graph, start: Node, permutation: Permutation) -> _Region:
    """The largest region behind ``start``."""
    turned = {node.outputs[0] for node in graph.nodes if isinstance(node.op, Transpose) and node.op.permutation == permutation}
    entries = {start.outputs[0]}
    inside: set[str] = set(entries)
    nodes: dict[str, Operator] = {}
    for node in graph.nodes:
        data = [name for name in node.inputs if not graph.is_constant(name)]
        if not inside.intersection(data) or not all(name in inside or name in turned for name in data) or len(node.outputs) != 1:
            continue
        op = _before_transpose(graph, node, permutation)
        if op is not None:
            nodes[node.name] = op
            entries.update(name for name in data if name in turned and name not in inside)
            inside.update(data)
            inside.add(node.outputs[0])
    readers: dict[str, Operator] = {}
    exits = set(inside & graph.kept)
    for node in graph.nodes:
        if node.name in nodes:
            continue
        reads = inside.intersection(node.inputs)
        reader = _absorbing(graph, node, permutation) if reads else None
        if reader is not None:
            readers[node.name] = reader
        else:
            exits |= reads
    return _Region(permutation, tuple(name for name in graph.producers if name in entries), nodes, readers, frozenset(exits))


def _before_transpose(graph: Graph, node: Node, permutation: Permutation) -> Operator | None:
    """The operator that does to a tensor what ``node`` does to its transpose; None where there is none."""
    op, rank = node.op, len(permutation)
    if any(graph.value(name).rank != rank for name in (*node.outputs, *(name for name in node.inputs if not graph.is_constant(name)))):
        return None
    if op.pointwise or isinstance(op, (Add, Sub, Mul)):
        return op
    if isinstance(op, (PRelu, Softmax, LogSoftmax)):
        return op if permutation[-1] == rank - 1 else None
    if any(graph.is_constant(name) for name in node.inputs):
        return None
    if isinstance(op, Concat):
        return Concat(permutation[op.axis])
    back = _inverse(permutation)
    if isinstance(op, Pad):
        return dataclasses.replace(op, padding=tuple(op.padding[axis] for axis in back))
    if isinstance(op, Slice):
        return Slice(tuple(op.begin[axis] for axis in back), tuple(op.size[axis] for axis in back), tuple(op.stride[axis] for axis in back))
    if isinstance(op, Mean) and op.keep_dims:
        return Mean(tuple(sorted(permutation[axis] for axis in op.axes)), keep_dims=True)
    return None


def _absorbing(graph: Graph, node: Node, permutation: Permutation) -> Operator | None:
    """The operator that makes the output of ``node`` from what the transpose before it is given; None where that takes a transpose."""
    if isinstance(node.op, Transpose):
        return Transpose(tuple(permutation[axis] for axis in node.op.permutation))
    if isinstance(node.op, Mean) and not node.op.keep_dims:
        left = [permutation[axis] for axis in range(len(permutation)) if axis not in node.op.axes]
        return Mean(tuple(sorted(permutation[axis] for axis in node.op.axes))) if left == sorted(left) else None
    return None


def _straight(rank: int) -> Permutation:
    return tuple(range(rank))


def _inverse(permutation: Permutation) -> Permutation:
    return tuple(int(axis) for axis in np.argsort(permutation))


def _gain(graph: Graph, region: _Region) -> int:
    """Elements that need no transposing any more, less those that need it newly."""
    gain = sum(graph.value(name).elements for name in region.entries if name not in region.exits)
    for name in region.readers:
        node = next(node for node in graph.nodes if node.name == name)
        op = region.readers[name]
        if isinstance(op, Transpose) and op.permutation == _straight(len(op.permutation)):
            gain += graph.value(node.outputs[0]).elements
    return gain - sum(graph.value(name).elements for name in region.exits if name not in region.entries)


def _turn(graph: Graph, region: _Region) -> Graph:
    edits = Edits(graph)
    before = {name: graph.producers[name].inputs[0] for name in region.entries}
    for node in graph.nodes:
        if node.name in region.nodes:
            value = graph.value(node.outputs[0])
            turned = dataclasses.replace(value, shape=tuple(value.shape[axis] for axis in _inverse(region.permutation)))
            name = edits.fresh(f"{value.name}_turned") if value.name in region.exits else value.name
            edits.values[name] = dataclasses.replace(turned, name=name)
            inputs = [_operand(graph, source, before, value, region.permutation, edits) for source in node.inputs]
            edits.nodes[node.name] = [dataclasses.replace(node, op=region.nodes[node.name], inputs=tuple(inputs), outputs=(name,))]
            if value.name in region.exits:
                back = Node(edits.fresh_node(f"{node.name}_transpose"), Transpose(region.permutation), (name,), (value.name,))
                edits.nodes[node.name].append(back)
            before[value.name] = name
        elif node.name in region.readers:
            inputs = [before[node.inputs[0]], *node.inputs[1:]]
            edits.nodes[node.name] = [dataclasses.replace(node, op=region.readers[node.name], inputs=tuple(inputs))]
    result = edits.apply()
    return bypass(result, {node.outputs[0]: node.inputs[0] for node in result.nodes
                           if node.name in region.readers and isinstance(node.op, Transpose)
                           and node.op.permutation == _straight(len(node.op.permutation))})


def _operand(graph: Graph, name: str, before: dict[str, str], out: Value, permutation: Sequence[int], edits: Edits) -> str:
    """An operand as it is before the transpose; constants that broadcast along more than the last axis are turned."""
    if not graph.is_constant(name):
        return before[name]
    array = graph.array(name)
    if array.size == 1 or (array.ndim == 1 and permutation[-1] == len(permutation) - 1):
        return name
    full = array.reshape((1,) * (out.rank - array.ndim) + array.shape)
    value = graph.value(name)
    turned = Constant(np.transpose(full, _inverse(tuple(permutation))))
    quant = value.quant if value.quant is None or value.quant.axis is None else None
    return edits.constant(edits.fresh(f"{name}_turned"), turned.array, quant=quant, dtype=value.dtype)
