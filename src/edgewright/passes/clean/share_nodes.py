"""What is computed twice is computed once."""

from __future__ import annotations

import dataclasses

from edgewright.ir.graph import Graph
from edgewright.ir.operator import Operator
from edgewright.passes.bypass import bypass
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float|integer", exact=True)
def share_nodes(graph: Graph, ctx: Context) -> Graph:
    """Let readers of a node read an equal one instead: the same operator over the same inputs, with the same type and quantization."""
    first: dict[tuple[Operator, tuple[str, ...], object], str] = {}
    same: dict[str, str] = {}
    makers: dict[str, str] = {}
    for node in graph.nodes:
        if len(node.outputs) != 1:
            continue
        name = node.outputs[0]
        inputs = tuple(same.get(source, source) for source in node.inputs)
        other = first.setdefault((node.op, inputs, dataclasses.replace(graph.value(name), name="")), name)
        makers[name] = node.name
        if other != name:
            same[name] = other
    result = bypass(graph, same)
    left = {node.name for node in result.nodes}
    for name, other in same.items():
        if makers[name] not in left:
            ctx.did(makers[name], f"computes the same as {makers[other]!r}")
    return result
