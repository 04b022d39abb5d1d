"""Exact search over which of two buffers lies below the other, for buffers that may slide over others.

Of two buffers that live at the same time one lies below: each such choice is a least distance between their offsets. The longest path of
distances to a buffer is the lowest place it can have, the longest from it what must fit above; where a choice would exceed the capacity,
the other one is made at once. What is left is tried depth first, as jobs on machines are ordered: Carlier and Pinson, "An Algorithm for
Solving the Job-Shop Problem" (Management Science, 1989). Where a buffer slides in steps, the distance that lies between two of them is
tried on both sides, so that the answer is exact with steps too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.lower.beam import Answer
from edgewright.lower.memory import Buffer, Slide

NODES = 1000
"""Choices that are tried for a capacity before the search gives up, where there are no more than PAIRS / NODES pairs of buffers."""
PAIRS = 200_000


@dataclass(frozen=True)
class _Pair:
    """Buffers ``a`` and ``b`` live at the same time; offsets differ by ``up`` or more where ``a`` lies below, by ``down`` where ``b`` does.
    ``slide``: of ``a`` over ``b``; from ``free`` bytes on, its steps do not matter."""

    a: int
    b: int
    up: int
    down: int
    slide: Slide | None = None
    free: int = 0

    def fits(self, distance: int) -> bool:
        """Whether ``b`` may begin ``distance`` bytes after ``a``."""
        if self.slide is not None and 0 <= distance < self.free:
            return distance >= self.up and distance % self.slide.step == 0
        return distance >= self.up or -distance >= self.down


Arc = tuple[int, int, int]
"""(buffer, other, least distance from the offset of the one to that of the other)."""


def search_below(buffers: Sequence[Buffer], capacity: int) -> tuple[Answer, dict[str, int]]:
    """(answer, offsets whose ends lie at ``capacity`` bytes or below): NONE is a proof that there are none, LIMIT that it took too long."""
    search = _Search(buffers, capacity)
    answer = search.run()
    return answer, {buffer.name: search.head[at] for at, buffer in enumerate(buffers)} if answer is Answer.FOUND else {}


class _Search:
    """``head``: lowest offset of each buffer. ``tail``: least distance from its offset to the capacity. Both grow as choices are made, and
    ``trail`` has what they were."""

    def __init__(self, buffers: Sequence[Buffer], capacity: int) -> None:
        self.capacity = capacity
        self.head = [0] * len(buffers)
        self.tail = [buffer.size_bytes for buffer in buffers]
        self.pairs = _pairs(buffers)
        self.open = [1] * len(self.pairs)
        self.near: list[list[int]] = [[] for _ in buffers]
        for number, pair in enumerate(self.pairs):
            self.near[pair.a].append(number)
            self.near[pair.b].append(number)
        self.above: list[list[tuple[int, int]]] = [[] for _ in buffers]
        self.beneath: list[list[tuple[int, int]]] = [[] for _ in buffers]
        self.trail: list[tuple[list[int], int, int]] = []
        self.arcs: list[Arc] = []

    def run(self) -> Answer:
        """Depth first; ``head`` has the offsets where the answer is FOUND."""
        if any(tail > self.capacity for tail in self.tail):
            return Answer.NONE
        left = min(NODES, PAIRS // max(len(self.pairs), 1))
        if not self._settle(range(len(self.pairs)), []):
            return Answer.NONE
        waiting: list[tuple[int, int, int, Arc]] = []
        while True:
            number = self._violated()
            if number is None:
                return Answer.FOUND
            if left == 0:
                return Answer.LIMIT
            left -= 1
            first, second = self._choices(self.pairs[number])
            mark = (len(self.trail), len(self.arcs), number)
            waiting.append((*mark, second))
            arc = first
            while not self._choose(number, arc):
                if not waiting:
                    return Answer.NONE
                trail, arcs, number, arc = waiting.pop()
                self._undo(trail, arcs)

    def _choices(self, pair: _Pair) -> tuple[Arc, Arc]:
        """The two ways on from a pair that does not fit, the one that leaves more room first."""
        distance = self.head[pair.b] - self.head[pair.a]
        if pair.slide is not None and pair.up <= distance < pair.free:
            before = distance // pair.slide.step * pair.slide.step
            return (pair.a, pair.b, min(before + pair.slide.step, pair.free)), (pair.b, pair.a, -before)
        up, down = (pair.a, pair.b, pair.up), (pair.b, pair.a, pair.down)
        return (up, down) if self._needed(up) <= self._needed(down) else (down, up)

    def _needed(self, arc: Arc) -> int:
        return self.head[arc[0]] + arc[2] + self.tail[arc[1]]

    def _violated(self) -> int | None:
        """The pair that does not fit as the lowest places are and leaves least room either way; None where all fit."""
        worst, found = -1, None
        for number, pair in enumerate(self.pairs):
            if not pair.fits(self.head[pair.b] - self.head[pair.a]):
                needed = min(map(self._needed, self._choices(pair)))
                if needed > worst:
                    worst, found = needed, number
        return found

    def _choose(self, number: int, arc: Arc) -> bool:
        """Make a choice and all that follow from it; False where they contradict."""
        self._set(self.open, number, 0)
        return self._settle([], [arc])

    def _settle(self, numbers: Sequence[int], arcs: list[Arc]) -> bool:
        """Add ``arcs``, look at the pairs ``numbers`` and at all whose buffers moved, and add what they leave no choice about."""
        pending = dict.fromkeys(numbers)
        while arcs or pending:
            while arcs:
                moved = self._add(arcs.pop())
                if moved is None:
                    return False
                pending |= dict.fromkeys(number for buffer in moved for number in self.near[buffer] if self.open[number])
            while pending and not arcs:
                number = next(iter(pending))
                del pending[number]
                pair = self.pairs[number]
                up, down = (pair.a, pair.b, pair.up), (pair.b, pair.a, pair.down)
                possible = [arc for arc in (up, down) if self._needed(arc) <= self.capacity]
                if not possible:
                    return False
                if len(possible) == 1:
                    self._set(self.open, number, 0)
                    arcs.append(possible[0])
        return True

    def _add(self, arc: Arc) -> set[int] | None:
        """Buffers whose head or tail grows by ``arc``; None where one leaves the capacity, or must lie above itself."""
        start, stop, distance = arc
        self.above[start].append((stop, distance))
        self.beneath[stop].append((start, distance))
        self.arcs.append(arc)
        higher = self._push(self.head, self.above, start, stop, distance)
        lower = None if higher is None else self._push(self.tail, self.beneath, stop, start, distance)
        return None if higher is None or lower is None else higher | lower

    def _push(self, values: list[int], ways: list[list[tuple[int, int]]], start: int, stop: int, distance: int) -> set[int] | None:
        moved: set[int] = set()
        if values[start] + distance <= values[stop]:
            return moved
        self._set(values, stop, values[start] + distance)
        waiting = [stop]
        while waiting:
            at = waiting.pop()
            if self.head[at] + self.tail[at] > self.capacity:
                return None
            moved.add(at)
            for other, further in ways[at]:
                if values[at] + further > values[other]:
                    if other == start:
                        return None
                    self._set(values, other, values[at] + further)
                    waiting.append(other)
        return moved

    def _set(self, values: list[int], at: int, value: int) -> None:
        self.trail.append((values, at, values[at]))
        values[at] = value

    def _undo(self, trail: int, arcs: int) -> None:
        while len(self.trail) > trail:
            values, at, value = self.trail.pop()
            values[at] = value
        while len(self.arcs) > arcs:
            start, stop, _ = self.arcs.pop()
            self.above[start].pop()
            self.beneath[stop].pop()


def _pairs(buffers: Sequence[Buffer]) -> list[_Pair]:
    """All that live at the same time and take room; of one that slides over another, it is ``a``."""
    pairs = []
    for index, first in enumerate(buffers):
        for other, second in enumerate(buffers[:index]):
            if first.last < second.first or second.last < first.first or not (first.size_bytes and second.size_bytes):
                continue
            a, b = (other, index) if second.slide is not None and second.slide.over == first.name else (index, other)
            above, below = buffers[a], buffers[b]
            slide = above.slide if above.slide is not None and above.slide.over == below.name else None
            size = above.size_bytes
            pairs.append(_Pair(a, b, size if slide is None else min(slide.least, size), below.size_bytes, slide, size))
    return pairs
