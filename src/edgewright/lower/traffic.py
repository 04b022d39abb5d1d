"""Bytes that operators move through each value in one inference: what decides where a value should lie, told without kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewright.ir.graph import Graph, Node
from edgewright.lower.tile import Loop

STACK = ""
"""Stands for working memory on the stack."""
REUSE = 2
"""Multiply-accumulates for which an operand is read once: kernels compute two outputs, or two channels, at a time."""


def value_traffic(graph: Graph, scratch: Mapping[str, str], loops: Sequence[Loop] = ()) -> dict[str, float]:
    """Name of a value, constants among them, or of a scratch buffer → bytes read and written in one inference.

    ``scratch``: node name → name of its scratch buffer, or STACK. A layer with scratch unfolds its input there once an output position
    and computes from it; one without reads its input for every multiply-accumulate, once in ``REUSE``.
    """
    moved: dict[str, float] = {}
    for step, node in enumerate(graph.nodes):
        loop = next((loop for loop in loops if loop.first <= step <= loop.last), None)
        times = 1 if loop is None else loop.runs(node.name)
        for name, size in _by_node(graph, node, scratch.get(node.name)).items():
            moved[name] = moved.get(name, 0.0) + times * size
    for state in graph.states:
        for name in (state.read, state.write):
            moved[name] = moved.get(name, 0.0) + graph.value(name).bytes
    return moved


def _by_node(graph: Graph, node: Node, scratch: str | None) -> dict[str, float]:
    if node.op.view:
        return {}
    ins, outs = graph.ins(node), graph.outs(node)
    found: dict[str, float] = {name: float(graph.value(name).bytes) for name in (*node.inputs, *node.outputs)}
    macs = node.op.macs(ins, outs)
    if not macs:
        return found
    width = ins[0].dtype.bytes_of(1)
    taken = macs / REUSE * width
    window = node.op.window(ins)
    if scratch is None:
        found[node.inputs[0]] = max(taken, found[node.inputs[0]])
    else:
        overlap = 1.0
        if window is not None:
            overlap = window.kernel[0] * window.kernel[1] / (window.stride[0] * window.stride[1])
        found[node.inputs[0]] *= max(overlap, 1.0)
        found[scratch] = found[node.inputs[0]] + taken
    for index, name in enumerate(node.inputs[1:2], 1):
        if graph.is_constant(name):
            found[name] = max(macs / REUSE * ins[index].dtype.bytes_of(1), found[name])
    return found
