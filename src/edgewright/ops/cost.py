"""What a graph costs before any target is chosen: multiply-accumulates, parameters and bytes, node by node."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.ir.graph import Graph, Value


@dataclass(frozen=True)
class NodeCost:
    """Cost of one node for one sample; bytes as the values stand at this level, but constants as the integers that they will be."""

    name: str
    kind: str
    macs: int
    parameters: int
    weight_bytes: int
    output_bytes: int


@dataclass(frozen=True)
class Cost:
    """Cost of a graph for one sample."""

    nodes: tuple[NodeCost, ...]
    macs: int
    parameters: int
    weight_bytes: int


def cost(graph: Graph) -> Cost:
    """Multiply-accumulates and constants of ``graph``; a constant that several nodes read counts once, at its first reader."""
    seen: set[str] = set()
    rows = []
    for node in graph.nodes:
        ins, outs = graph.ins(node), graph.outs(node)
        fresh = [value for value in dict.fromkeys(ins) if graph.is_constant(value.name) and value.name not in seen]
        seen.update(value.name for value in fresh)
        parameters, weight_bytes = sum(value.elements for value in fresh), sum(_stored_bytes(value) for value in fresh)
        output_bytes = sum(value.bytes for value in outs)
        rows.append(NodeCost(node.name, node.op.kind, node.op.macs(ins, outs), parameters, weight_bytes, output_bytes))
    return Cost(tuple(rows), sum(row.macs for row in rows), sum(row.parameters for row in rows), sum(row.weight_bytes for row in rows))


def _stored_bytes(value: Value) -> int:
    """Of a constant: files of dynamic range hold its integers, though it computes in float."""
    return (value.dtype if value.quant is None else value.quant.dtype).bytes_of(value.elements)
