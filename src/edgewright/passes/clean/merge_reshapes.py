"""One reshape does what several did."""

from __future__ import annotations

import dataclasses

from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph
from edgewright.ops.reshape import Reshape
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float|integer", exact=True)
def merge_reshapes(graph: Graph, ctx: Context) -> Graph:
    """Let a reshape of a reshape start from where the first one started."""
    source: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        if isinstance(node.op, Reshape):
            start = source.get(node.inputs[0], node.inputs[0])
            source[node.outputs[0]] = start
            if start != node.inputs[0] and graph.value(start).quant == graph.value(node.inputs[0]).quant:
                ctx.did(node.name, f"reshapes {start!r} directly")
                node = dataclasses.replace(node, inputs=(start,))
        nodes.append(node)
    return rebuild(graph, nodes=nodes) if tuple(nodes) != graph.nodes else graph
