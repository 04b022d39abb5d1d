"""Static memory allocation: intervals of known size and lifetime to offsets, so that the highest end is least.

Greedy first-fit in several orders; where that misses the lower bound and the instance is small, an exact branch and bound.
Buffers placed in the order of their offsets, each at the lowest place that its placed neighbours leave, reach every optimum, so the search
branches over which buffer comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgewright.lower.memory import Buffer

EXACT_BUFFERS = 48
EXACT_NODES = 20_000


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """The most bytes that live at one step: no placement ends lower."""
    points = {buffer.first for buffer in buffers}
    return max((sum(b.size_bytes for b in buffers if b.first <= point <= b.last) for point in points), default=0)


def allocate(buffers: Sequence[Buffer]) -> tuple[dict[str, int], str]:
    """(offsets by buffer name, how they were found: greedy or exact, and whether they are known to be optimal).

    Where an alignment divides every size, it divides every offset.
    """
    bound = lower_bound(buffers)
    orders: tuple[Callable[[Buffer], tuple[int, ...]], ...] = (
        lambda b: (-b.size_bytes, b.first),
        lambda b: (-(b.last - b.first), -b.size_bytes),
        lambda b: (-b.size_bytes * (b.last - b.first + 1), b.first),
        lambda b: (b.first, -b.size_bytes),
        lambda b: (-b.last, -b.size_bytes),
    )
    best: dict[str, int] = {}
    best_height = -1
    for order in orders:
        offsets = first_fit(sorted(buffers, key=lambda b: (*order(b), b.name)))
        height = _height(buffers, offsets)
        if best_height < 0 or height < best_height:
            best, best_height = offsets, height
    if best_height <= bound:
        return best, "greedy, optimal"
    if len(buffers) > EXACT_BUFFERS:
        return best, "greedy"
    search = _Search(buffers, best_height, bound)
    search.run()
    found = search.best or best
    return found, "exact, optimal" if search.complete or _height(buffers, found) <= bound else "exact, search limit reached"


def first_fit(order: Sequence[Buffer]) -> dict[str, int]:
    """Place buffers in the given order, each at the lowest gap between those placed that live at the same time."""
    placed: list[Buffer] = []
    offsets: dict[str, int] = {}
    for buffer in order:
        offset = 0
        for other in sorted((p for p in placed if overlaps(p, buffer)), key=lambda p: offsets[p.name]):
            if offset + buffer.size_bytes <= offsets[other.name]:
                break
            offset = max(offset, offsets[other.name] + other.size_bytes)
        offsets[buffer.name] = offset
        placed.append(buffer)
    return offsets


def overlaps(a: Buffer, b: Buffer) -> bool:
    """Whether both live at some step."""
    return a.first <= b.last and b.first <= a.last


def _height(buffers: Sequence[Buffer], offsets: Mapping[str, int]) -> int:
    return max((offsets[buffer.name] + buffer.size_bytes for buffer in buffers), default=0)


class _Search:
    """Depth-first branch and bound; ``best`` is set when something below ``height`` was found, ``complete`` when nothing was left out."""

    def __init__(self, buffers: Sequence[Buffer], height: int, bound: int) -> None:
        self.buffers = sorted(buffers, key=lambda b: (-b.size_bytes, b.first, b.name))
        self.neighbours = [
            [j for j, other in enumerate(self.buffers) if j != i and overlaps(buffer, other)] for i, buffer in enumerate(self.buffers)
        ]
        self.height = height
        self.bound = bound
        self.best: dict[str, int] | None = None
        self.complete = True
        self.nodes = 0
        self.offsets = [-1] * len(self.buffers)

    def run(self) -> None:
        self._place(0, 0)

    def _place(self, count: int, floor: int) -> bool:
        """True when the bound is reached and the search can end."""
        if count == len(self.buffers):
            self.best = {buffer.name: offset for buffer, offset in zip(self.buffers, self.offsets, strict=True)}
            self.height = max((o + b.size_bytes for b, o in zip(self.buffers, self.offsets, strict=True)), default=0)
            return self.height <= self.bound
        self.nodes += 1
        if self.nodes > EXACT_NODES:
            self.complete = False
            return True
        touching = {i: self._lowest(i) for i in range(len(self.buffers)) if self.offsets[i] < 0}
        lowest = {i: max(floor, offset) for i, offset in touching.items()}
        if any(offset + self.buffers[i].size_bytes >= self.height for i, offset in lowest.items()) or self._overloaded(lowest):
            return False
        # A buffer whose place lies above the end that another could reach first need not come next.
        ceiling = min(offset + self.buffers[i].size_bytes for i, offset in lowest.items())
        for i, offset in sorted(lowest.items(), key=lambda item: (item[1], -self.buffers[item[0]].size_bytes)):
            # Below the floor, it would have come earlier in this order: another branch has it.
            if offset >= ceiling or touching[i] < floor:
                continue
            self.offsets[i] = offset
            done = self._place(count + 1, offset)
            self.offsets[i] = -1
            if done:
                return True
        return False

    def _lowest(self, i: int) -> int:
        """The end of the placed neighbours: offsets never fall along the order, so only what already stands below matters."""
        return max((self.offsets[j] + self.buffers[j].size_bytes for j in self.neighbours[i] if self.offsets[j] >= 0), default=0)

    def _overloaded(self, lowest: Mapping[int, int]) -> bool:
        """Whether at some step the unplaced buffers cannot all fit above their lowest place and below the height to beat."""
        for step in {self.buffers[i].first for i in lowest}:
            live = [i for i in lowest if self.buffers[i].first <= step <= self.buffers[i].last]
            if live and min(lowest[i] for i in live) + sum(self.buffers[i].size_bytes for i in live) >= self.height:
                return True
        return False
