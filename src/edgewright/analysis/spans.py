"""A graph cut into spans of nodes that hand on one value each."""

from __future__ import annotations

from edgewright.analysis.linear import linear
from edgewright.ir.graph import Graph, Node

Span = tuple[Node, ...]


def spans_between_cuts(graph: Graph, layers: int = 1) -> list[Span]:
    """The nodes in order, cut where one computed value alone is read later (inputs of the network aside), outputs among what is read.

    A residual block is one span, a chain falls into its layers. Each span has at least ``layers`` layers with constant weights, fewer ones
    that are left over go to the last, and what follows all layers is a span of its own.
    """
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    last |= dict.fromkeys(graph.kept, len(graph.nodes))
    found: list[Span] = []
    live: set[str] = set()
    start = end = count = 0
    for index, node in enumerate(graph.nodes):
        live |= {name for name in node.outputs if last.get(name, -1) > index}
        live -= {name for name in node.inputs if last[name] == index}
        is_layer = linear(graph, node) is not None
        count, end = count + is_layer, start if is_layer else end
        if len(live) > 1 or not count:
            continue
        end = index + 1 if end == start else end  # the first cut behind the last layer so far
        if count >= layers:
            found.append(graph.nodes[start:end])
            start, count = end, 0
    if count:
        end = end if end > start else len(graph.nodes)
        found[-1:] = [(*found[-1], *graph.nodes[start:end])] if found else [graph.nodes[start:end]]
        start = end
    return [*found, graph.nodes[start:]] if graph.nodes[start:] else found


def spans_of_layers(graph: Graph) -> list[Span]:
    """Every layer with constant weights as a span, the activation function behind it included; other nodes alone."""
    found: list[Span] = []
    for node in graph.nodes:
        before = found[-1][-1] if found else None
        follows = before is not None and node.inputs == before.outputs and graph.sole_consumer(node.inputs[0]) is node
        if follows and node.op.pointwise and len(found[-1]) == 1 and linear(graph, found[-1][0]) is not None:
            found[-1] = (*found[-1], node)
        else:
            found.append((node,))
    return found
