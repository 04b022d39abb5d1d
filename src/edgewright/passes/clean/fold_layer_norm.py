"""Layer normalization that is written out becomes one operator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.analysis.linear import Edits
from edgewright.ir.graph import Graph, Node
from edgewright.ir.operator import Operator
from edgewright.ops.add import Add
from edgewright.ops.layer_norm import LayerNorm
from edgewright.ops.mean import Mean
from edgewright.ops.mul import Mul
from edgewright.ops.rsqrt import Rsqrt
from edgewright.ops.sub import Sub
from edgewright.passes.registry import Context, graph_pass

Vector = NDArray[np.float32]


@graph_pass(level="float", exact=True)
def fold_layer_norm(graph: Graph, ctx: Context) -> Graph:
    """Replace (x - mean) * rsqrt(mean((x - mean)²) + epsilon), over the last axis, with what scales and shifts it, by LayerNorm.

    Files of formats and exporters without that operator have it so. Source: Ba, Kiros and Hinton 2016 (arXiv:1607.06450).
    """
    edits = Edits(graph)
    for node in graph.nodes:
        found = _normalized(graph, node)
        if found is None:
            continue
        data, epsilon = found
        channels = int(graph.value(data).shape[-1] or 1)
        scale, offset, last = np.ones(channels, np.float32), np.zeros(channels, np.float32), node
        factor = _next_constant(graph, last, Mul(), channels)
        if factor is not None:
            scale, last = factor
        addend = _next_constant(graph, last, Add(), channels)
        if addend is not None:
            offset, last = addend
        constants = [edits.constant(edits.fresh(f"{node.name}_{stem}"), array) for stem, array in (("scale", scale), ("offset", offset))]
        edits.nodes[last.name] = [Node(last.name, LayerNorm(epsilon), (data, *constants), last.outputs)]
        ctx.did(last.name, f"layer normalization of {channels} channels")
    return edits.apply() if edits.nodes else graph


def _normalized(graph: Graph, node: Node) -> tuple[str, float] | None:
    """The x and epsilon of the formula that ends in product ``node``."""
    if node.op != Mul():
        return None
    for centred, inverse in (node.inputs, node.inputs[::-1]):
        root = _maker(graph, inverse, Rsqrt())
        total = None if root is None else _maker(graph, root.inputs[0], Add())
        data = _centred(graph, centred)
        if total is None or data is None:
            continue
        for variance, other in (total.inputs, total.inputs[::-1]):
            if graph.is_constant(other) and graph.array(other).size == 1 and _variance_of(graph, variance) == data:
                return data, float(graph.array(other).reshape(-1)[0])
    return None


def _maker(graph: Graph, name: str, op: Operator) -> Node | None:
    node = graph.producers.get(name)
    return node if node is not None and node.op == op else None


def _mean(graph: Graph, name: str) -> str | None:
    """What ``name`` is the mean of, over the last axis, kept."""
    node = graph.producers.get(name)
    if node is None or not isinstance(node.op, Mean) or not node.op.keep_dims:
        return None
    return node.inputs[0] if node.op.axes == (graph.value(node.inputs[0]).rank - 1,) else None


def _centred(graph: Graph, name: str) -> str | None:
    """The x of x - mean(x)."""
    node = _maker(graph, name, Sub())
    return node.inputs[0] if node is not None and _mean(graph, node.inputs[1]) == node.inputs[0] else None


def _variance_of(graph: Graph, name: str) -> str | None:
    """The x of mean((x - mean(x))²)."""
    squares = _mean(graph, name)
    node = None if squares is None else _maker(graph, squares, Mul())
    if node is None:
        return None
    data = {_centred(graph, factor) for factor in node.inputs}
    return data.pop() if len(data) == 1 else None


def _next_constant(graph: Graph, node: Node, op: Operator, channels: int) -> tuple[Vector, Node] | None:
    """The numbers, one a channel, that the only reader of ``node`` combines it with under ``op``; and that reader."""
    reader = graph.sole_consumer(node.outputs[0])
    if reader is None or reader.op != op:
        return None
    other = reader.inputs[1 - reader.inputs.index(node.outputs[0])]
    if not graph.is_constant(other) or graph.value(other).rank > graph.value(node.outputs[0]).rank:
        return None
    array = graph.array(other)
    if array.size not in (1, channels) or (array.size > 1 and array.shape[-1] != channels):
        return None
    return np.broadcast_to(array.reshape(-1).astype(np.float32), (channels,)).copy(), reader
