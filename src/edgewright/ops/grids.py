"""Where integers change their grid: a Requantize goes between operators that pass integers on unchanged and inputs on another grid."""

from __future__ import annotations

import dataclasses

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.edit import fresh_name, rebuild
from edgewright.ir.graph import Constant, Graph, Node, State, Value
from edgewright.ops.requantize import Requantize


def with_requantize(graph: Graph) -> Graph:
    """``graph``, every value of which is quantized, with each change of grid as a node of its own; constants get a copy on the other grid.

    What lowering makes integers of, and what training simulates. The same object where no grid changes; ModelError where a value has no
    quantization.
    """
    bare = [name for name, value in graph.values.items() if value.quant is None]
    if bare:
        raise ModelError(f"{len(bare)} values of {graph.name!r} are not quantized, {bare[0]!r} is the first",
                         hint="an integer program needs recipe w8a8; float16 and dynamic networks go to .tflite and .onnx alone")
    clashes = _Clashes(graph)
    nodes = [new for node in graph.nodes for new in clashes.before(node)]
    states = [clashes.at_the_end(state) for state in graph.states]
    if not clashes.values:
        return graph
    return rebuild(graph, nodes=[*nodes, *clashes.last], values=clashes.values, constants=clashes.copies, states=states)


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
        wanted = self._quant(node.outputs[0])
        made: list[Node] = []
        inputs = tuple(
            name if index in node.op.index_inputs else self._on_grid(name, wanted, made) for index, name in enumerate(node.inputs)
        )
        return [*made, dataclasses.replace(node, inputs=inputs)]

    def at_the_end(self, state: State) -> State:
        """``state`` with what is written to it on its own grid."""
        wanted = self._quant(state.read)
        initial = self._on_grid(state.initial, wanted, self.last)
        return dataclasses.replace(state, initial=initial, write=self._on_grid(state.write, wanted, self.last))

    def _quant(self, name: str) -> Quant:
        quant = self.graph.value(name).quant
        assert quant is not None
        return quant

    def _on_grid(self, name: str, wanted: Quant, made: list[Node]) -> str:
        """The value that holds ``name`` on grid ``wanted``; a new Requantize for it is added to ``made``."""
        if self._quant(name) == wanted:
            return name
        if (name, wanted) in self._made:
            return self._made[name, wanted]
        renamed = fresh_name(self._taken, f"{name}_requantized")
        self._taken.add(renamed)
        self._made[name, wanted] = renamed
        self.values.append(dataclasses.replace(self.graph.value(name), name=renamed, quant=wanted))
        if self.graph.is_constant(name):
            self.copies[renamed] = self.graph.constants[name]
        else:
            made.append(Node(renamed, Requantize(), (name,), (renamed,)))
        return renamed
