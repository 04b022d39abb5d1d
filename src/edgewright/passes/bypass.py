"""Leaving out nodes whose output equals another value."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph


def bypass(graph: Graph, same: Mapping[str, str]) -> Graph:
    """``graph`` in which readers of each key of ``same`` read the value that it equals; the nodes that made the keys are gone.

    Keys are outputs of nodes with one output. Graph outputs and what states write keep their names: there the other value takes the
    key's name, unless it is visible outside itself or made by no node; then the node stays. ``graph`` itself where nothing can go.
    """
    roots = {gone: _root(same, gone) for gone in same}
    renamed: dict[str, str] = {}
    stays: set[str] = set()
    for gone, root in roots.items():
        if gone not in graph.kept:
            continue
        if root in graph.producers and root not in graph.kept and root not in renamed:
            renamed[root] = gone
        else:
            stays.add(gone)
    dropped = set(roots) - stays
    if not dropped:
        return graph
    reads = {gone: renamed.get(root, root) for gone, root in roots.items() if gone in dropped and gone not in renamed.values()} | renamed
    nodes = []
    for node in graph.nodes:
        if len(node.outputs) == 1 and node.outputs[0] in dropped:
            continue
        inputs = tuple(reads.get(name, name) for name in node.inputs)
        nodes.append(dataclasses.replace(node, inputs=inputs, outputs=tuple(renamed.get(name, name) for name in node.outputs)))
    return rebuild(graph, nodes=nodes)


def _root(same: Mapping[str, str], name: str) -> str:
    seen = set()
    while name in same and name not in seen:
        seen.add(name)
        name = same[name]
    return name
