"""Static memory allocation: buffers of known size and lifetime to offsets, so that the highest end is least.

Greedy first-fit in several orders; where that misses the lower bound, searches that decide one capacity after another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgewright.lower.beam import Answer, Ints, beam_search
from edgewright.lower.memory import Buffer
from edgewright.lower.sections import Sections, sections

SEARCH_BUFFERS = 256
SEARCH_CELLS = 12_288
"""Width of the beam × buffers: exhaustive for about a dozen buffers."""
WIDEST = 1024
CAPACITIES = 5
"""How many capacities the library's own search tries where none of its answers is a proof."""

Decide = Callable[[Sections, int], tuple[Answer, Ints]]
"""(problem, capacity in units) → (answer, offsets in units)."""


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """The most bytes that live at one step: no placement ends lower."""
    points = {buffer.first for buffer in buffers}
    return max((sum(b.size_bytes for b in buffers if b.first <= point <= b.last) for point in points), default=0)


def allocate(buffers: Sequence[Buffer], decide: Decide | None = None) -> tuple[dict[str, int], str]:
    """(offsets by buffer name, how they were found: greedy or exact, and whether they are known to be optimal).

    Where an alignment divides every size, it divides every offset. ``decide`` replaces the library's own search, a beam whose width depends
    on nothing but the number of buffers; where a proof ended above the lower bound, the answer names the bound that it reached.
    """
    best = greedy(buffers)
    bound = lower_bound(buffers)
    height = end_of(buffers, best)
    if height <= bound:
        return best, "greedy, optimal"
    if decide is None and len(buffers) > SEARCH_BUFFERS:
        return best, "greedy"
    # What takes no room lies anywhere.
    solid = [buffer for buffer in buffers if buffer.size_bytes > 0]
    found, reached = _minimize(solid, bound, height, decide or _beam, CAPACITIES if decide is None else math.inf)
    best = {**dict.fromkeys((buffer.name for buffer in buffers), 0), **found} if found else best
    height = end_of(buffers, best)
    if height <= reached:
        return best, "exact, optimal"
    return best, "exact, search limit reached" + (f", at least {reached:,}" if reached > bound else "")


def fit(buffers: Sequence[Buffer], capacity: int, decide: Decide | None = None) -> tuple[Answer, dict[str, int]]:
    """(answer, offsets whose ends lie at ``capacity`` bytes or below): NONE is a proof that there are no such offsets."""
    problem = sections(buffers)
    answer, offsets = (decide or _beam)(problem, capacity // problem.unit)
    return answer, _named(buffers, problem, offsets) if answer is Answer.FOUND else {}


def _minimize(buffers: Sequence[Buffer], bound: int, height: int, decide: Decide, limits: float) -> tuple[dict[str, int], int]:
    """(the best offsets below ``height``, if any; the highest bound proved): the lower bound first, then halfway to
    the best, until they meet or ``limits`` capacities were left undecided."""
    problem = sections(buffers)
    proved = -(-bound // problem.unit)
    best, end, low = np.zeros(0, np.int64), height // problem.unit, proved
    capacity = proved
    while low < end and limits > 0:
        answer, offsets = decide(problem, capacity)
        if answer is Answer.FOUND:
            best, end = offsets, int((offsets + problem.size).max())
        else:
            low = capacity + 1
            if answer is Answer.NONE:
                proved = max(proved, low)
            else:
                limits -= 1
        capacity = (low + end - 1) // 2
    return _named(buffers, problem, best) if len(best) else {}, proved * problem.unit


def _named(buffers: Sequence[Buffer], problem: Sections, offsets: Ints) -> dict[str, int]:
    return {buffer.name: int(offset) * problem.unit for buffer, offset in zip(buffers, offsets, strict=True)}


def _beam(problem: Sections, capacity: int) -> tuple[Answer, Ints]:
    return beam_search(problem, capacity, max(min(SEARCH_CELLS // len(problem.size), WIDEST), 1))


def greedy(buffers: Sequence[Buffer]) -> dict[str, int]:
    """The lowest of first-fit in five orders."""
    orders: tuple[Callable[[Buffer], tuple[int, ...]], ...] = (
        lambda b: (-b.size_bytes, b.first),
        lambda b: (-(b.last - b.first), -b.size_bytes),
        lambda b: (-b.size_bytes * (b.last - b.first + 1), b.first),
        lambda b: (b.first, -b.size_bytes),
        lambda b: (-b.last, -b.size_bytes),
    )
    placed = (first_fit(sorted(buffers, key=lambda b: (*order(b), b.name))) for order in orders)
    return min(placed, key=lambda offsets: end_of(buffers, offsets))


def first_fit(order: Sequence[Buffer]) -> dict[str, int]:
    """Place buffers in the given order, each at the lowest gap between those placed that live at the same time."""
    placed: list[Buffer] = []
    offsets: dict[str, int] = {}
    for buffer in order:
        offsets[buffer.name] = lowest_gap(buffer, placed, offsets)
        placed.append(buffer)
    return offsets


def lowest_gap(buffer: Buffer, placed: Sequence[Buffer], offsets: Mapping[str, int]) -> int:
    """The lowest offset at which ``buffer`` overlaps none of ``placed`` that lives at the same time."""
    offset = 0
    for other in sorted((p for p in placed if overlaps(p, buffer)), key=lambda p: offsets[p.name]):
        if offset + buffer.size_bytes <= offsets[other.name]:
            break
        offset = max(offset, offsets[other.name] + other.size_bytes)
    return offset


def overlaps(a: Buffer, b: Buffer) -> bool:
    """Whether both live at some step."""
    return a.first <= b.last and b.first <= a.last


def end_of(buffers: Sequence[Buffer], offsets: Mapping[str, int]) -> int:
    """The highest end."""
    return max((offsets[buffer.name] + buffer.size_bytes for buffer in buffers), default=0)
