"""Where activations change between int8 and int16: a Requantize stands between operators of different width."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgewright.ir.dtype import DType
from edgewright.ir.edit import fresh_name, rebuild
from edgewright.ir.graph import Graph, Node, Value
from edgewright.ops.requantize import Requantize


@dataclass(frozen=True, eq=False)
class Widths:
    """``graph`` with a Requantize at every change of width, and the type of each activation (int8 or int16)."""

    graph: Graph
    types: Mapping[str, DType]

    def of_constant(self, node: Node, index: int) -> DType:
        """The type of constant input ``index`` of ``node``, which stands where an activation could."""
        return DType.INT8 if index in node.op.int8_inputs else self.types[node.outputs[0]]


def activation_widths(graph: Graph, wide: Callable[[Node], bool]) -> Widths:
    """Operators for which ``wide`` holds, and which have an integer form for it, take and give int16; all others int8.

    An input of the network, or a state, is int16 where all that read it, or what is written to it, is.
    """
    widths = {node.name: DType.INT16 if node.op.takes_int16 and wide(node) else DType.INT8 for node in graph.nodes}
    types = {name: widths[node.name] for node in graph.nodes for name in node.outputs}
    for name in graph.inputs:
        readers = {widths[node.name] for node in graph.consumers.get(name, ())}
        types[name] = DType.INT16 if readers == {DType.INT16} else DType.INT8
    for state in graph.states:
        types[state.read] = types.get(state.write, DType.INT8)
    if DType.INT16 not in types.values():
        return Widths(graph, types)
    bridges = _Bridges(graph, types)
    nodes = [new for node in graph.nodes for new in bridges.before(node, widths[node.name])]
    return Widths(rebuild(graph, nodes=nodes, values=bridges.values) if bridges.values else graph, types)


class _Bridges:
    """The Requantize nodes, one for each value that is read at the other width."""

    def __init__(self, graph: Graph, types: dict[str, DType]) -> None:
        self.graph, self.types = graph, types
        self.values: list[Value] = []
        self._made: dict[str, str] = {}
        self._taken = {*graph.values, *(node.name for node in graph.nodes)}

    def before(self, node: Node, width: DType) -> list[Node]:
        """``node``, and what must stand before it."""
        if isinstance(node.op, Requantize):
            return [node]
        made: list[Node] = []
        inputs = [
            name if self.graph.is_constant(name) else self._at(name, DType.INT8 if index in node.op.int8_inputs else width, made)
            for index, name in enumerate(node.inputs)
        ]
        return [*made, dataclasses.replace(node, inputs=tuple(inputs))]

    def _at(self, name: str, width: DType, made: list[Node]) -> str:
        if self.types[name] is width:
            return name
        if name not in self._made:
            renamed = fresh_name(self._taken, f"{name}_{width.value}")
            self._taken.add(renamed)
            self._made[name] = renamed
            self.types[renamed] = width
            self.values.append(dataclasses.replace(self.graph.value(name), name=renamed))
            made.append(Node(renamed, Requantize(), (name,), (renamed,)))
        return self._made[name]
