"""The order of operators that needs least memory at its peak.

Which values live depends only on which operators have run, not on their order: dynamic programming over sets of operators, level by level,
keeps one best way to each set. It is exact while the sets of a level are few; beyond that it keeps those with the lowest peak. What is
written to a state in its place is not foreseen here, so the plan of the whole decides in the end, and the given order wins a tie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph
from edgewright.ir.verify import verify
from edgewright.lower.memory import MemoryPlan, Slide
from edgewright.lower.plan_memory import ALIGNMENT, align, plan_memory

SETS = 512
"""Sets of operators kept per level."""


def plan_in_best_order(
    graph: Graph, scratch: Mapping[str, int] | None = None, slides: Mapping[str, Slide] | None = None, *, alignment: int = ALIGNMENT
) -> tuple[Graph, MemoryPlan]:
    """(``graph`` with its nodes in the order that needs the smaller arena, the plan). The given order stays where no other is smaller."""
    plan = plan_memory(graph, scratch, slides, alignment=alignment)
    order = best_order(graph, scratch, slides, alignment=alignment)
    if order is None:
        return graph, plan
    reordered = verify(rebuild(graph, nodes=[graph.nodes[index] for index in order]))
    other = plan_memory(reordered, scratch, slides, alignment=alignment)
    return (reordered, other) if other.arena_bytes < plan.arena_bytes else (graph, plan)


def best_order(
    graph: Graph, scratch: Mapping[str, int] | None = None, slides: Mapping[str, Slide] | None = None, *, alignment: int = ALIGNMENT
) -> list[int] | None:
    """Indices of nodes in the order with the least peak that was found; None where none lies below that of the given order."""
    steps = _Steps(graph, scratch or {}, slides or {}, alignment)
    reached = {0: _Way(0, steps.start, None, -1)}
    limit = steps.peak(range(len(graph.nodes)))
    for _ in graph.nodes:
        following: dict[int, _Way] = {}
        for done, way in reached.items():
            for node in steps.ready(done):
                needed, live = steps.run(done, way.live, node)
                peak = max(way.peak, needed)
                after = done | 1 << node
                if peak < limit and (after not in following or peak < following[after].peak):
                    following[after] = _Way(peak, live, way, node)
        if len(following) > SETS:
            best = sorted(following.items(), key=lambda item: (item[1].peak, item[1].live, item[0]))
            following = dict(best[:SETS])
        reached = following
    end = next(iter(reached.values()), None)
    order: list[int] = []
    while end is not None and end.before is not None:
        order.append(end.node)
        end = end.before
    return order[::-1] or None


@dataclass(frozen=True)
class _Way:
    """How a set of operators came to have run: the peak on the way, the bytes that live now, the way before the last node."""

    peak: int
    live: int
    before: _Way | None
    node: int


class _Steps:
    """Bytes as nodes run. Sets of nodes are bits of an integer; a root is a value that is no view, with all views of it."""

    def __init__(self, graph: Graph, scratch: Mapping[str, int], slides: Mapping[str, Slide], alignment: int) -> None:
        self.nodes = range(len(graph.nodes))
        self.slides = [slides.get(node.name) for node in graph.nodes]
        self.scratch = [align(scratch.get(node.name, 0), alignment) for node in graph.nodes]
        root: dict[str, str] = {name: name for name in (*graph.inputs, *(state.read for state in graph.states))}
        states = {state.read for state in graph.states}
        self.before = [0] * len(graph.nodes)
        self.size: dict[str, int] = {}
        self.readers: dict[str, int] = {}
        self.kept: set[str] = set()
        self.roots: list[list[str]] = []
        self.made: list[list[str]] = []
        self.over: list[list[str]] = []
        for index, node in enumerate(graph.nodes):
            view = node.op.view and node.inputs[0] in root
            for position, name in enumerate(node.outputs):
                root[name] = root[node.inputs[0]] if view and position == 0 else name
            read = list(dict.fromkeys(root[name] for name in node.inputs if name in root))
            for name in read:
                self.readers[name] = self.readers.get(name, 0) | 1 << index
            self.roots.append(read)
            self.made.append([name for name in node.outputs if root[name] == name])
            self.over.append([] if view else _taken_over(graph, index, root, states))
        for name in root:
            self.size[root[name]] = max(self.size.get(root[name], 0), align(graph.value(name).bytes, alignment))
        self.root = root
        self.kept = states | {root[name] for name in graph.kept if name in root}
        producer = {name: index for index, node in enumerate(graph.nodes) for name in node.outputs}
        for index, node in enumerate(graph.nodes):
            self.before[index] = sum({1 << producer[name] for name in node.inputs if name in producer})
        # Unread inputs stand at the first step alone, whichever operator runs there.
        sources = list(dict.fromkeys((*graph.inputs, *states)))
        self.first = sum(self.size[name] for name in sources if name not in self.readers and name not in self.kept)
        self.start = sum(self.size[name] for name in sources if name in self.readers or name in self.kept)

    def ready(self, done: int) -> list[int]:
        return [node for node in self.nodes if not done >> node & 1 and self.before[node] & ~done == 0]

    def run(self, done: int, live: int, node: int) -> tuple[int, int]:
        """(bytes that ``node`` needs while it runs, bytes that live after it)."""
        after = done | 1 << node
        dying = [name for name in self.roots[node] if self._dead(name, after)]
        made = sum(self.size[name] for name in self.made[node])
        in_place = self.made[node][:1] if any(name in dying for name in self.over[node]) else []
        shared = sum(self.size[name] for name in in_place) or self._slid(node, dying)
        needed = live + made - shared + self.scratch[node] + (0 if done else self.first)
        unread = [name for name in self.made[node] if self._dead(name, after)]
        return needed, live + made - sum(self.size[name] for name in (*dying, *unread))

    def peak(self, order: range) -> int:
        """The most bytes that an order needs at once."""
        done, live, peak = 0, self.start, 0
        for node in order:
            needed, live = self.run(done, live, node)
            peak = max(peak, needed)
            done |= 1 << node
        return peak

    def _slid(self, node: int, dying: Sequence[str]) -> int:
        """Bytes of a dying input over which output 0 lies."""
        slide = self.slides[node]
        if slide is None or not self.made[node] or self.root.get(slide.over) not in dying:
            return 0
        under, over = self.size[self.root[slide.over]], self.size[self.made[node][0]]
        return max(0, under + over - max(over, slide.least + under))

    def _dead(self, name: str, done: int) -> bool:
        return name not in self.kept and self.readers.get(name, 0) & ~done == 0


def _taken_over(graph: Graph, index: int, root: Mapping[str, str], states: set[str]) -> list[str]:
    """Roots whose bytes output 0 of the node may overwrite once nobody else reads them."""
    node = graph.nodes[index]
    size = graph.value(node.outputs[0]).bytes
    allowed = [node.inputs[i] for i in node.op.in_place(graph.ins(node), graph.outs(node))]
    names = [name for name in allowed if name in root and node.inputs.count(name) == 1 and graph.value(name).bytes == size]
    return [root[name] for name in names if root[name] not in states and sum(root.get(other) == root[name] for other in node.inputs) == 1]
