"""Several animals as one network: compiled once, compared output by output."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edgewright.ir.graph import Graph, Level, State
from edgewright.ir.verify import verify


def parade(graphs: Sequence[Graph], name: str) -> Graph:
    """All ``graphs`` (integer level) side by side in one; every name gets its graph's name in front."""
    values, constants, nodes, states = {}, {}, [], []
    for graph in graphs:
        renamed = {key: f"{graph.name}_{key}" for key in graph.values}
        values |= {renamed[key]: dataclasses.replace(value, name=renamed[key]) for key, value in graph.values.items()}
        constants |= {renamed[key]: constant for key, constant in graph.constants.items()}
        nodes += [
            dataclasses.replace(
                node,
                name=f"{graph.name}_{node.name}",
                inputs=tuple(renamed[key] for key in node.inputs),
                outputs=tuple(renamed[key] for key in node.outputs),
            )
            for node in graph.nodes
        ]
        states += [State(renamed[state.read], renamed[state.write], renamed[state.initial]) for state in graph.states]
    inputs = tuple(f"{graph.name}_{key}" for graph in graphs for key in graph.inputs)
    outputs = tuple(f"{graph.name}_{key}" for graph in graphs for key in graph.outputs)
    return verify(Graph(name, Level.INTEGER, inputs, outputs, tuple(nodes), values, constants, tuple(states)))
