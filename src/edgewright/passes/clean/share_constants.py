"""Equal constants are kept once."""

from __future__ import annotations

import dataclasses
import hashlib

from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float|integer", exact=True)
def share_constants(graph: Graph, ctx: Context) -> Graph:
    """Keep one of several constants that agree in numbers, type, quantization and structure."""
    first: dict[tuple[object, bytes], str] = {}
    same: dict[str, str] = {}
    for name, constant in graph.constants.items():
        other = first.setdefault((dataclasses.replace(graph.value(name), name=""), _digest(constant)), name)
        if other != name and name not in graph.kept:
            same[name] = other
            ctx.did(name, f"the same as {other!r}")
    if not same:
        return graph
    nodes = [dataclasses.replace(node, inputs=tuple(same.get(name, name) for name in node.inputs)) for node in graph.nodes]
    states = [dataclasses.replace(state, initial=same.get(state.initial, state.initial)) for state in graph.states]
    return rebuild(graph, nodes=nodes, states=states)


def _digest(constant: Constant) -> bytes:
    """Over the bytes of the numbers (so that 0 and -0 differ) and all that is known of them."""
    sha = hashlib.sha256(constant.array.tobytes())
    if constant.structure is not None:
        parts = constant.structure
        sha.update(repr((parts.pattern, parts.bits, parts.group)).encode())
        for extra in (parts.mask, parts.codebook):
            sha.update(b"-" if extra is None else repr(extra.shape).encode() + extra.tobytes())
    return sha.digest()
