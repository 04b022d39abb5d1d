"""The only way to change a graph: every function returns a new one (or the same object where nothing changes)."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Constant, Graph, Level, Node, State, Structure, Value
from edgewright.ir.operator import Operator


def rebuild(
    graph: Graph,
    *,
    nodes: Sequence[Node] | None = None,
    values: Iterable[Value] = (),
    constants: Mapping[str, Constant] | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    states: Sequence[State] | None = None,
    level: Level | None = None,
    name: str | None = None,
) -> Graph:
    """A graph with the given tables replaced (``nodes`` …) or extended (``values``, ``constants``: new entries win).

    What nobody reads any more goes: dead nodes, values and constants. Graph inputs stay.
    """
    new_states = tuple(graph.states if states is None else states)
    new_outputs = tuple(graph.outputs if outputs is None else outputs)
    kept = live_nodes(graph.nodes if nodes is None else nodes, set(new_outputs), new_states)
    new_inputs = tuple(graph.inputs if inputs is None else inputs)
    read = {name for node in kept for name in node.inputs}
    new_states = _live_states(new_states, read | set(new_outputs))
    used = read | {name for node in kept for name in node.outputs} | set(new_inputs) | set(new_outputs)
    used |= {name for state in new_states for name in (state.read, state.write, state.initial)}
    all_values = {**graph.values, **{value.name: value for value in values}}
    all_constants = {**graph.constants, **(constants or {})}
    return Graph(
        name=graph.name if name is None else name,
        level=graph.level if level is None else level,
        inputs=new_inputs,
        outputs=new_outputs,
        nodes=kept,
        values={key: value for key, value in all_values.items() if key in used},
        constants={key: constant for key, constant in all_constants.items() if key in used},
        states=new_states,
    )


def live_nodes(nodes: Sequence[Node], outputs: set[str], states: Sequence[State]) -> tuple[Node, ...]:
    """``nodes`` without those that no output and no live state depends on."""
    wanted = set(outputs)
    pending = list(states)
    while True:
        live: list[Node] = []
        needed = set(wanted)
        for node in reversed(nodes):
            if any(name in needed for name in node.outputs):
                needed.update(node.inputs)
                live.append(node)
        woken = [state for state in pending if state.read in needed]
        if not woken:
            return tuple(reversed(live))
        wanted.update(state.write for state in woken)
        pending = [state for state in pending if state not in woken]


def _live_states(states: Sequence[State], needed: set[str]) -> tuple[State, ...]:
    """``states`` whose content is among the values ``needed``, or moves on to a state that is."""
    live: set[str] = set()
    while woken := [state for state in states if state.read not in live and state.read in needed]:
        live.update(state.read for state in woken)
        needed = needed | {state.write for state in woken}
    return tuple(state for state in states if state.read in live)


def replace_nodes(
    graph: Graph,
    replacements: Mapping[str, Sequence[Node]],
    *,
    values: Iterable[Value] = (),
    constants: Mapping[str, Constant] | None = None,
    rename: Mapping[str, str] | None = None,
) -> Graph:
    """Replace each node named in ``replacements`` by a sequence of nodes (none: it is dropped), in its place.

    ``rename`` maps value names that are read from now on to other values (chains are followed): readers, outputs and states follow.
    Returns ``graph`` itself where there is nothing to replace.
    """
    if not replacements and not rename:
        return graph
    final = _resolve_chains(rename or {})
    nodes: list[Node] = []
    for node in graph.nodes:
        for new in replacements.get(node.name, (node,)):
            if any(name in final for name in new.inputs):
                new = dataclasses.replace(new, inputs=tuple(final.get(name, name) for name in new.inputs))
            nodes.append(new)
    outputs = tuple(final.get(name, name) for name in graph.outputs)
    states = tuple(dataclasses.replace(state, write=final.get(state.write, state.write)) for state in graph.states)
    return rebuild(graph, nodes=nodes, values=values, constants=constants, outputs=outputs, states=states)


def _resolve_chains(rename: Mapping[str, str]) -> dict[str, str]:
    final: dict[str, str] = {}
    for start in rename:
        end, seen = start, {start}
        while end in rename:
            end = rename[end]
            if end in seen:
                raise ModelError(f"renaming value {start!r} goes round in a circle")
            seen.add(end)
        final[start] = end
    return final


def fresh_name(taken: Container[str], stem: str) -> str:
    """``stem``, or ``stem_1``, ``stem_2``, … : the first that is not ``taken`` (pass ``graph.values`` or a set)."""
    if stem not in taken:
        return stem
    number = 1
    while f"{stem}_{number}" in taken:
        number += 1
    return f"{stem}_{number}"


class GraphBuilder:
    """Collects a graph value by value and node by node; shapes are inferred. Used by frontends, tests and passes that write new graphs."""

    def __init__(self, name: str, level: Level = Level.FLOAT) -> None:
        self.name = name
        self.level = level
        self._inputs: list[str] = []
        self._nodes: list[Node] = []
        self._node_names: set[str] = set()
        self._values: dict[str, Value] = {}
        self._constants: dict[str, Constant] = {}
        self._states: list[State] = []

    def value(self, name: str) -> Value:
        return self._values[name]

    def fresh(self, stem: str) -> str:
        """A value name that is not taken yet."""
        return fresh_name(self._values, stem)

    def input(self, name: str, shape: Sequence[int | None], dtype: DType = DType.FLOAT32, quant: Quant | None = None) -> str:
        self._add(Value(name, tuple(shape), dtype, quant))
        self._inputs.append(name)
        return name

    def constant(self, name: str, array: NDArray[np.generic], *, dtype: DType | None = None, quant: Quant | None = None,
                 structure: Structure | None = None) -> str:
        """A constant under a fresh name near ``name``; returns the name."""
        name = self.fresh(name)
        array = np.asarray(array)
        if dtype is None:
            try:
                dtype = DType(array.dtype.name)
            except ValueError:
                raise ModelError(f"constant {name!r} has element type {array.dtype}, which a graph does not hold") from None
        self._add(Value(name, tuple(array.shape), dtype, quant))
        self._constants[name] = Constant(array, structure)
        return name

    def node(self, op: Operator, inputs: Sequence[str], *, name: str = "", outputs: Sequence[str] = (), dtype: DType | None = None,
             quants: Sequence[Quant | None] = ()) -> str:
        """Append an operator; returns the name of output 0. ``outputs`` names the outputs, ``quants`` gives their quantization."""
        ins = [self._values[key] for key in inputs]
        low, high = op.inputs_range
        if not low <= len(ins) <= high:
            raise ModelError(f"{op.kind} takes {low} to {high} inputs, got {len(ins)}")
        shapes = op.infer(ins)
        name = fresh_name(self._node_names, name or (outputs[0] if outputs else op.kind.lower()))
        self._node_names.add(name)
        names = list(outputs) or [self.fresh(name if len(shapes) == 1 else f"{name}_{index}") for index in range(len(shapes))]
        for index, (key, shape) in enumerate(zip(names, shapes, strict=True)):
            quant = quants[index] if index < len(quants) else None
            self._add(Value(key, shape, dtype or ins[0].dtype, quant))
        self._nodes.append(Node(name, op, tuple(inputs), tuple(names)))
        return names[0]

    def state(self, read: str, shape: Sequence[int | None], initial: str, dtype: DType = DType.FLOAT32, quant: Quant | None = None) -> str:
        """Declare a state value (``initial`` names a constant); give its next content with :meth:`write_state`."""
        self._add(Value(read, tuple(shape), dtype, quant))
        self._states.append(State(read, "", initial))
        return read

    def write_state(self, read: str, write: str) -> None:
        self._states = [dataclasses.replace(state, write=write) if state.read == read else state for state in self._states]

    def finish(self, outputs: Sequence[str]) -> Graph:
        """The graph, dead code removed."""
        unwritten = [state.read for state in self._states if not state.write]
        if unwritten:
            raise ModelError(f"state {unwritten[0]!r} is never written")
        graph = Graph(self.name, self.level, tuple(self._inputs), tuple(outputs), tuple(self._nodes), self._values, self._constants,
                      tuple(self._states))
        return rebuild(graph)

    def _add(self, value: Value) -> None:
        if value.name in self._values:
            raise ModelError(f"two values are called {value.name!r}")
        self._values[value.name] = value
