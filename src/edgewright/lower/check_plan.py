"""The obvious checker of a memory plan: run the schedule over an arena whose every byte remembers which value it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgewright.errors import ModelError
from edgewright.ir.graph import Graph, Node
from edgewright.lower.memory import MemoryPlan
from edgewright.lower.overlap import is_safe
from edgewright.targets.overlap import Order

FREE = -1
PART_ALIGNMENT = 8
"""Each part of the arena is an array of its own; arrays have whole multiples of this."""
Span = tuple[int, int]
"""First byte, and the byte after the last."""


def check_plan(
    graph: Graph,
    plan: MemoryPlan,
    scratch: Mapping[str, Span] | None = None,
    orders: Mapping[str, Order] | None = None,
    *,
    alignment: int = 4,
) -> None:
    """ModelError where an operator would read an overwritten byte, or anything leaves the arena or stands at an odd place.

    ``scratch``: node name → (offset, bytes). ``orders``: node name → in which order its kernel goes, where its output may lie over its
    input. Independent of lifetimes and of the planner's choice of buffers: it only executes one call,
    copies the states to their places at its end, and looks whether inputs, states and outputs are where the program's user expects them.
    """
    arena = _Arena(graph, plan, scratch or {}, orders or {}, alignment)
    sources = [*graph.inputs, *(state.read for state in graph.states)]
    arena.apart(sources, "inputs and states")
    for name in sources:
        arena.write(name)
    for node in graph.nodes:
        arena.run(node)
    for state in graph.states:
        arena.expect(state.write, f"it is copied to state {state.read!r}")
        arena.copy(state.write, state.read)
    for name in graph.outputs:
        arena.expect(name, "the end of the call")


def check_parts(plan: MemoryPlan, limits: Mapping[str, int | None]) -> None:
    """ModelError where the parts of the arena overlap or leave it, or one exceeds what ``limits`` has for its region (None: no limit)."""
    end = 0
    for part in plan.parts:
        if part.start < end or part.start % PART_ALIGNMENT:
            raise ModelError(f"memory plan: the part in {part.region!r} begins at {part.start}, the one before ends at {end}")
        end = part.start + part.size_bytes
        limit = limits[part.region]
        if limit is not None and part.size_bytes > limit:
            raise ModelError(f"memory plan: {part.region!r} is to hold {part.size_bytes} bytes, it has {limit}")
    if plan.parts and end > plan.arena_bytes:
        raise ModelError(f"memory plan: the parts end at {end}, the arena at {plan.arena_bytes}")
    if len({part.region for part in plan.parts}) != len(plan.parts):
        raise ModelError("memory plan: two parts lie in one region")


class _Arena:
    """Bytes that behave alike (no span begins or ends between them) are one cell."""

    def __init__(
        self, graph: Graph, plan: MemoryPlan, scratch: Mapping[str, Span], orders: Mapping[str, Order], alignment: int
    ) -> None:
        self.graph, self.plan, self.scratch, self.orders = graph, plan, scratch, orders
        self.numbers = {name: index for index, name in enumerate(graph.values)}
        self.same: dict[str, str] = {}
        self.spans = {name: self._span(name, alignment) for name in graph.values if not graph.is_constant(name)}
        self.scratch_spans = {name: self._scratch_span(name, alignment) for name in scratch}
        edges = sorted({edge for span in (*self.spans.values(), *self.scratch_spans.values()) for edge in span})
        self.cell = {edge: index for index, edge in enumerate(edges)}
        self.holder = np.full(len(edges), FREE, dtype=np.int64)

    def _span(self, name: str, alignment: int) -> Span:
        if name not in self.plan.buffer_of:
            raise ModelError(f"memory plan: {name!r} has no place")
        start = self.plan.offset(name)
        return self._within((start, start + self.graph.value(name).bytes), repr(name), alignment)

    def _scratch_span(self, node: str, alignment: int) -> Span:
        start, size = self.scratch[node]
        return self._within((start, start + size), f"the scratch of {node!r}", alignment)

    def _within(self, span: Span, what: str, alignment: int) -> Span:
        if span[0] < 0 or span[1] > self.plan.arena_bytes:
            raise ModelError(f"memory plan: {what} lies at {span[0]}:{span[1]}, outside of the arena of {self.plan.arena_bytes} bytes")
        part = self.plan.part(span[0])
        if span[1] > part.start + part.size_bytes:
            raise ModelError(f"memory plan: {what} lies at {span[0]}:{span[1]}, across the end of {part.region!r}")
        if (span[0] - part.start) % alignment:
            raise ModelError(f"memory plan: {what} lies at {span[0]}, which {alignment} does not divide")
        return span

    def apart(self, names: Sequence[str], what: str) -> None:
        """No two of ``names`` may share a byte."""
        for position, name in enumerate(names):
            for other in names[:position]:
                if _overlap(self.spans[name], self.spans[other]):
                    raise ModelError(f"memory plan: {other!r} and {name!r} overlap, {what} live at the same time")

    def run(self, node: Node) -> None:
        """Read the inputs, spoil the scratch, write the outputs."""
        for name in node.inputs:
            self.expect(name, f"{node.name!r} reads it")
        if node.name in self.scratch_spans:
            self._fill(self.scratch_spans[node.name], FREE)
            for name in node.inputs:
                self.expect(name, f"{node.name!r} has read it, by its scratch")
            for name in node.outputs:
                if _overlap(self.spans[name], self.scratch_spans[node.name]):
                    raise ModelError(f"memory plan: the scratch of {node.name!r} lies over its output {name!r}")
        self.apart(node.outputs, f"outputs of {node.name!r}")
        for position, name in enumerate(node.outputs):
            if position == 0 and self._is_view(node):
                self.same[name] = node.inputs[0]
                continue
            self._may_write(node, name, position)
            self.write(name)

    def _is_view(self, node: Node) -> bool:
        return node.op.view and self.spans.get(node.inputs[0]) == self.spans[node.outputs[0]]

    def _may_write(self, node: Node, output: str, position: int) -> None:
        """None of the outputs may touch an input, but for output 0 over an input that the operator allows, at the same place, or over
        input 0 behind what the kernel still reads."""
        allowed = (
            {node.inputs[index] for index in node.op.in_place(self.graph.ins(node), self.graph.outs(node))} if position == 0 else set()
        )
        for name in node.inputs:
            if self.graph.is_constant(name) or not _overlap(self.spans[name], self.spans[output]):
                continue
            if position == 0 and self._reads_in_time(node, name):
                continue
            if name not in allowed or self.spans[name] != self.spans[output]:
                raise ModelError(f"memory plan: {node.name!r} writes {output!r} over its input {name!r}")

    def _reads_in_time(self, node: Node, name: str) -> bool:
        order = self.orders.get(node.name)
        if order is None or name != node.inputs[0] or node.inputs.count(name) != 1:
            return False
        return is_safe(self.graph, node, order, self.spans[name][0] - self.spans[node.outputs[0]][0])

    def write(self, name: str) -> None:
        self._fill(self.spans[name], self._content(name))

    def copy(self, name: str, place: str) -> None:
        """The bytes of ``name``, or of a constant, to where ``place`` lies."""
        self._fill(self.spans[place], self._content(name))

    def expect(self, name: str, when: str) -> None:
        """``name`` must still hold what was written to it."""
        if self.graph.is_constant(name):
            return
        start, stop = self.spans[name]
        if not np.all(self.holder[self.cell[start] : self.cell[stop]] == self._content(name)):
            raise ModelError(f"memory plan: {name!r} has been overwritten before {when}")

    def _fill(self, span: Span, content: int) -> None:
        self.holder[self.cell[span[0]] : self.cell[span[1]]] = content

    def _content(self, name: str) -> int:
        """A view holds its source's bytes: they count as one content."""
        while name in self.same:
            name = self.same[name]
        return self.numbers[name]


def _overlap(a: Span, b: Span) -> bool:
    return a[0] < b[1] and b[0] < a[1]
