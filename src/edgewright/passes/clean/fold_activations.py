"""Rectifiers become part of the operator before them."""

from __future__ import annotations

import dataclasses

import torch

from edgewright.analysis.linear import with_activation
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph, Level, Node, Value
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.ops.requant import activation_range
from edgewright.ops.transpose import Transpose
from edgewright.passes.registry import Context, graph_pass

# What a fused activation followed by a clamp amounts to.
_COMBINED = {
    ("none", Relu): "relu", ("none", Relu6): "relu6",
    ("relu", Relu): "relu", ("relu", Relu6): "relu6",
    ("relu6", Relu): "relu6", ("relu6", Relu6): "relu6",
}


@graph_pass(level="float|integer", exact=True)
def fold_activations(graph: Graph, ctx: Context) -> Graph:
    """Fuse Relu and Relu6 into the operator before them where nobody else reads what it gives, also across reshapes and transposes.

    At the integer level only where clamping that operator's integers gives the same bytes, that is, where the rectifier changes no scale.
    """
    while True:
        nodes = {node.name: node for node in graph.nodes}
        touched: set[str] = set()
        for node in graph.nodes:
            if not isinstance(node.op, (Relu, Relu6)):
                continue
            chain = _before(graph, node)
            if not chain or touched & {node.name, *(other.name for other in chain)}:
                continue
            maker, last = chain[-1], chain[0]
            activation = _combined(graph, maker, node)
            if activation is None:
                ctx.skipped(node.name, f"fused into {maker.name!r} it would not give the same bytes")
                continue
            nodes[maker.name] = dataclasses.replace(maker, op=with_activation(maker.op, activation))
            nodes[last.name] = dataclasses.replace(nodes[last.name], outputs=node.outputs)
            del nodes[node.name]
            touched |= {node.name, *(other.name for other in chain)}
            ctx.did(node.name, f"{node.op.kind} fused into {maker.name!r}")
        if not touched:
            return graph
        graph = rebuild(graph, nodes=list(nodes.values()))


def _before(graph: Graph, node: Node) -> list[Node]:
    """The nodes before ``node``, nearest first, up to the first that has an ``activation``; empty where there is none.

    Nobody else reads what is between; those between only move elements, so that the rectifier may as well stand before them.
    """
    chain: list[Node] = []
    reader = node
    while True:
        name = reader.inputs[0]
        maker = graph.producers.get(name)
        if maker is None or len(maker.outputs) != 1 or graph.sole_consumer(name) is not reader:
            return []
        chain.append(maker)
        if hasattr(maker.op, "activation"):
            return chain
        if not (maker.op.view or isinstance(maker.op, Transpose)):
            return []
        reader = maker


def _combined(graph: Graph, maker: Node, node: Node) -> str | None:
    """The activation of ``maker`` with ``node`` fused into it; None where that is no exact clamp."""
    before = str(getattr(maker.op, "activation", "none"))
    activation = next((name for (first, kind), name in _COMBINED.items() if first == before and isinstance(node.op, kind)), None)
    if activation is None or graph.level is not Level.INTEGER:
        return activation
    made, value = graph.value(maker.outputs[0]), graph.value(node.outputs[0])
    if made.quant is None or made.quant != value.quant or made.dtype is not value.dtype:
        return None
    return activation if _same_bytes(node, made, value, before, activation) else None


def _same_bytes(node: Node, made: Value, value: Value, before: str, activation: str) -> bool:
    """Compare for every integer that the operator can give."""
    low, high = activation_range(before, made)
    integers = torch.arange(made.dtype.minimum, made.dtype.maximum + 1, dtype=torch.int32).clamp_(low, high)
    (apart,) = node.op.evaluate_integer([integers], (made,), (value,))
    low, high = activation_range(activation, made)
    return bool(torch.equal(apart, torch.arange(made.dtype.minimum, made.dtype.maximum + 1, dtype=torch.int32).clamp_(low, high)))
