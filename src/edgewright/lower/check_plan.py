"""The obvious checker of a memory plan: run the schedule over an arena whose every byte remembers which value it holds."""

from __future__ import annotations

import numpy as np

from edgewright.errors import ModelError
from edgewright.ir.graph import Graph, Node
from edgewright.lower.memory import MemoryPlan

FREE = -1


def check_plan(graph: Graph, plan: MemoryPlan, scratch: dict[str, tuple[int, int]] | None = None) -> None:
    """ModelError where an operator would read a byte that another value has overwritten, or where anything leaves the arena.

    ``scratch``: node name → (offset, bytes). Independent of lifetimes and of the planner's choice of buffers: it only executes.
    """
    numbers = {name: index for index, name in enumerate(graph.values)}
    holder = np.full(plan.arena_bytes, FREE, dtype=np.int64)
    claim = _Claims(graph, plan, holder, numbers)
    for name in (*graph.inputs, *(state.read for state in graph.states)):
        claim.write(name)
    for node in graph.nodes:
        for name in node.inputs:
            claim.expect(name, node.name)
        if scratch and node.name in scratch:
            claim.scribble(node, *scratch[node.name])
        claim.step(node)
    for name in sorted(graph.kept):
        claim.expect(name, "the end")


class _Claims:
    def __init__(self, graph: Graph, plan: MemoryPlan, holder: np.ndarray[tuple[int], np.dtype[np.int64]], numbers: dict[str, int]) -> None:
        self.graph, self.plan, self.holder, self.numbers = graph, plan, holder, numbers
        self.same: dict[str, str] = {}

    def span(self, name: str) -> slice:
        start = self.plan.offset(name)
        stop = start + self.graph.value(name).bytes
        if start < 0 or stop > self.plan.arena_bytes:
            raise ModelError(f"memory plan: {name!r} lies at {start}:{stop}, outside of the arena of {self.plan.arena_bytes} bytes")
        return slice(start, stop)

    def content(self, name: str) -> int:
        """A view holds its source's bytes: they count as one content."""
        while name in self.same:
            name = self.same[name]
        return self.numbers[name]

    def write(self, name: str) -> None:
        self.holder[self.span(name)] = self.content(name)

    def expect(self, name: str, reader: str) -> None:
        if self.graph.is_constant(name):
            return
        held = self.holder[self.span(name)]
        if not np.all(held == self.content(name)):
            raise ModelError(f"memory plan: {name!r} has been overwritten before {reader} reads it")

    def scribble(self, node: Node, offset: int, size: int) -> None:
        if offset < 0 or offset + size > self.plan.arena_bytes:
            raise ModelError(f"memory plan: the scratch of {node.name!r} leaves the arena")
        self.holder[offset:offset + size] = FREE
        for name in node.inputs:
            self.expect(name, f"the scratch of {node.name} is done, and {node.name}")

    def step(self, node: Node) -> None:
        """Write the outputs; none may touch an input of the same node unless the operator allows it there, at the same offset."""
        ins, outs = self.graph.ins(node), self.graph.outs(node)
        allowed = {node.inputs[index] for index in node.op.in_place(ins, outs)}
        for position, output in enumerate(node.outputs):
            place = self.span(output)
            source = node.inputs[0] if node.inputs else ""
            if node.op.view and not self.graph.is_constant(source) and self.span(source) == place:
                self.same[output] = source
                continue
            for name in node.inputs:
                if self.graph.is_constant(name):
                    continue
                other = self.span(name)
                if other.start < place.stop and place.start < other.stop and not (position == 0 and name in allowed and other == place):
                    raise ModelError(f"memory plan: {node.name!r} writes {output!r} over its input {name!r}")
            for other_output in node.outputs[:position]:
                other = self.span(other_output)
                if other.start < place.stop and place.start < other.stop:
                    raise ModelError(f"memory plan: outputs {other_output!r} and {output!r} of {node.name!r} overlap")
            self.write(output)
