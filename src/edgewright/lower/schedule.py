"""What a device runs: one sample at a time, and states written in an order in which none is read after it was overwritten."""

from __future__ import annotations

import dataclasses

from edgewright.errors import ModelError
from edgewright.ir.edit import fresh_name, rebuild
from edgewright.ir.graph import Graph, Node, State, Value
from edgewright.ir.verify import verify
from edgewright.ops.requantize import Requantize


def single_sample(graph: Graph) -> Graph:
    """``graph`` with every symbolic batch axis set to 1; the operators' own facts about the batch follow."""
    symbolic = {name for name, value in graph.values.items() if value.shape[:1] == (None,)}
    if not symbolic:
        return graph
    values = [dataclasses.replace(graph.value(name), shape=(1, *graph.value(name).shape[1:])) for name in graph.values if name in symbolic]
    nodes = [dataclasses.replace(node, op=node.op.with_batch(1)) if symbolic & {*node.outputs} else node for node in graph.nodes]
    try:
        return verify(rebuild(graph, nodes=nodes, values=values))
    except ModelError as error:
        hint = "a network that mixes samples with each other cannot run on a device"
        raise ModelError(f"{graph.name!r} cannot run one sample at a time: {error.message}", hint=hint) from error


def order_states(graph: Graph) -> Graph:
    """``graph`` with its states in an order in which each can be copied to its place, one after the other, at the end of a call.

    A state that takes what another one held (a delay line) comes before that other. Where that goes round in a circle, or the old content
    of a state is an output, an operator copies it first.
    """
    copies = _Copies(graph)
    source = {state.read: _moved_from(graph, state.write) for state in graph.states}
    overwritten = {read for read, write in source.items() if read != write}
    outputs = [copies.of(name) if _moved_from(graph, name) in overwritten else name for name in graph.outputs]
    waiting: list[State] = list(graph.states)
    ordered: list[State] = []
    while waiting:
        chosen = next((state for state in waiting if not _is_read(state, waiting, source)), None)
        if chosen is None:
            chosen = waiting[0]
            for position, other in enumerate(waiting):
                if other is not chosen and source[other.read] == chosen.read:
                    waiting[position] = dataclasses.replace(other, write=copies.of(other.write))
                    source[other.read] = waiting[position].write
        ordered.append(chosen)
        waiting = [state for state in waiting if state.read != chosen.read]
    if ordered == list(graph.states) and not copies.nodes:
        return graph
    return verify(rebuild(graph, nodes=[*graph.nodes, *copies.nodes], values=copies.values, outputs=outputs, states=ordered))


def _is_read(state: State, waiting: list[State], source: dict[str, str]) -> bool:
    """Whether another state still takes the old content of ``state``."""
    return any(source[other.read] == state.read for other in waiting if other is not state)


def _moved_from(graph: Graph, name: str) -> str:
    """The value whose bytes ``name`` holds: views are looked through."""
    while name in graph.producers and graph.producers[name].op.view:
        name = graph.producers[name].inputs[0]
    return name


class _Copies:
    """Nodes at the end that copy values: a Requantize from a grid to itself."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.values: list[Value] = []
        self._taken = {*graph.values, *(node.name for node in graph.nodes)}

    def of(self, name: str) -> str:
        copy = fresh_name(self._taken, f"{name}_copy")
        self._taken.add(copy)
        self.values.append(dataclasses.replace(self.graph.value(name), name=copy))
        self.nodes.append(Node(copy, Requantize(), (name,), (copy,)))
        return copy
