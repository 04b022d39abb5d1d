"""From the quantized level to the integer level: constants become integers, and every change of scale becomes a Requantize."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.edit import fresh_name, rebuild
from edgewright.ir.graph import Constant, Graph, Level, Node, State, Value
from edgewright.ir.verify import verify
from edgewright.ops.requantize import Requantize
from edgewright.targets.target import Target


def lower_integer(graph: Graph, target: Target) -> Graph:
    """The integer graph that ``graph`` (quantized level) stands for; an integer graph comes back as it is.

    ModelError where a value has no quantization: float activations have no integer form.
    """
    if graph.level is Level.INTEGER:
        return graph
    hint = "an integer program needs recipe w8a8; float16 and dynamic networks go to .tflite and .onnx alone"
    bare = [name for name, value in graph.values.items() if value.quant is None]
    if graph.level is not Level.QUANTIZED:
        raise ModelError(f"{graph.name!r} is a float network", hint=hint)
    if bare:
        raise ModelError(f"{len(bare)} values of {graph.name!r} are not quantized, {bare[0]!r} is the first", hint=hint)
    clashes = _Clashes(graph)
    nodes = [new for node in graph.nodes for new in clashes.before(node)]
    states = [clashes.at_the_end(state) for state in graph.states]
    graph = rebuild(graph, nodes=[*nodes, *clashes.last], values=clashes.values, constants=clashes.copies, states=states)
    values = [dataclasses.replace(value, dtype=_quant(value).dtype) for value in graph.values.values()]
    constants = {name: _round(constant, graph.value(name)) for name, constant in graph.constants.items()}
    return verify(rebuild(graph, values=values, constants=constants, level=Level.INTEGER))


def _quant(value: Value) -> Quant:
    assert value.quant is not None
    return value.quant


def _round(constant: Constant, value: Value) -> Constant:
    return Constant(_quant(value).to_integer(np.asarray(constant.array, np.float32)), constant.structure)


class _Clashes:
    """A Requantize goes where integers would pass unchanged from one grid to another; a constant gets a copy on the other grid."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: list[Value] = []
        self.copies: dict[str, Constant] = {}
        self.last: list[Node] = []
        self._made: dict[tuple[str, Quant], str] = {}
        self._taken = {*graph.values, *(node.name for node in graph.nodes)}

    def before(self, node: Node) -> list[Node]:
        """``node``, and what must stand before it."""
        if not node.op.same_quant:
            return [node]
        wanted = _quant(self.graph.value(node.outputs[0]))
        made: list[Node] = []
        inputs = tuple(self._on_grid(name, wanted, made) for name in node.inputs)
        return [*made, dataclasses.replace(node, inputs=inputs)]

    def at_the_end(self, state: State) -> State:
        """``state`` with what is written to it on its own grid."""
        wanted = _quant(self.graph.value(state.read))
        initial = self._on_grid(state.initial, wanted, self.last)
        return dataclasses.replace(state, initial=initial, write=self._on_grid(state.write, wanted, self.last))

    def _on_grid(self, name: str, wanted: Quant, made: list[Node]) -> str:
        """The value that holds ``name`` on grid ``wanted``; a new Requantize for it is added to ``made``."""
        value = self.graph.value(name)
        if _quant(value) == wanted:
            return name
        if (name, wanted) in self._made:
            return self._made[name, wanted]
        renamed = fresh_name(self._taken, f"{name}_requantized")
        self._taken.add(renamed)
        self._made[name, wanted] = renamed
        self.values.append(dataclasses.replace(value, name=renamed, quant=wanted))
        if self.graph.is_constant(name):
            self.copies[renamed] = self.graph.constants[name]
        else:
            made.append(Node(renamed, Requantize(), (name,), (renamed,)))
        return renamed
