"""Static memory allocation: buffers of known size and lifetime to offsets, so that the highest end is least.

Greedy first-fit in several orders; where that misses the lower bound, searches that decide one capacity after another, another search where
buffers may slide over others.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import random
from collections.abc import Callable, Mapping, Sequence

from edgewright.lower.beam import Answer, Ints, beam_search
from edgewright.lower.below import search_below
from edgewright.lower.memory import Buffer
from edgewright.lower.sections import Sections, sections

SEARCH_BUFFERS = 256
SEARCH_CELLS = 12_288
"""Width of the beam × buffers: exhaustive for about a dozen buffers."""
WIDEST = 1024
MOST_ORDERS = 400
ORDER_PAIRS = 1_000_000
CAPACITIES = 5
"""How many capacities the library's own search tries where none of its answers is a proof."""

Decide = Callable[[Sections, int], tuple[Answer, Ints]]
"""(problem, capacity in units) → (answer, offsets in units)."""
Search = Callable[[int], tuple[Answer, dict[str, int]]]
"""Capacity in bytes → (answer, offsets in bytes)."""


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """The most bytes that live at one step, those over which another slides counted once: no placement ends lower.

    Where the two would not fit one beside the other, they must slide: of a chain of such, each ends the higher the more slide before it.
    """
    points = {buffer.first for buffer in buffers}
    apart = {point: sum(b.size_bytes for b in buffers if b.first <= point <= b.last) for point in points}
    saved = saved_bytes(buffers)
    bound = max((size - saved.get(point, 0) for point, size in apart.items()), default=0)
    while True:
        forced = [buffer for buffer in buffers if buffer.slide is not None and apart[buffer.first] > bound]
        reached = _chain_end(buffers, forced)
        if reached <= bound:
            return bound
        bound = min([reached, *(apart[buffer.first] for buffer in forced)])


def _chain_end(buffers: Sequence[Buffer], sliding: Sequence[Buffer]) -> int:
    """The highest end where each of ``sliding`` begins below the one that it slides over, and none below 0."""
    sizes = {buffer.name: buffer.size_bytes for buffer in buffers}
    start: dict[str, int] = {}
    # A buffer begins after the one that it slides over: those that come last lie lowest.
    for buffer in sorted(sliding, key=lambda b: -b.first):
        if buffer.slide is not None:
            start[buffer.slide.over] = start.get(buffer.name, 0) + min(buffer.slide.least, buffer.size_bytes)
    return max((offset + sizes.get(name, 0) for name, offset in start.items()), default=0)


def saved_bytes(buffers: Sequence[Buffer]) -> dict[int, int]:
    """Step → bytes that two buffers share at most in which one slides over the other."""
    sizes = {buffer.name: buffer.size_bytes for buffer in buffers}
    saved: dict[int, int] = {}
    for buffer in buffers:
        if buffer.slide is not None and buffer.slide.over in sizes:
            under = sizes[buffer.slide.over]
            shared = buffer.size_bytes + under - max(buffer.size_bytes, buffer.slide.least + under)
            saved[buffer.first] = saved.get(buffer.first, 0) + max(shared, 0)
    return saved


@dataclasses.dataclass(frozen=True)
class Allocation:
    """``offsets`` by buffer name. ``strategy``: how they were found, and whether they are known to be optimal. ``bound_bytes``: what no
    placement ends below, as far as it was proved."""

    offsets: dict[str, int]
    strategy: str
    bound_bytes: int


def allocate(buffers: Sequence[Buffer], decide: Decide | None = None) -> Allocation:
    """Offsets, how they were found (greedy or exact), and what is proved of them.

    Where an alignment divides every size, it divides every offset. ``decide`` replaces the library's own search, a beam whose width depends
    on nothing but the number of buffers; where a proof ended above the lower bound, the answer names the bound that it reached.
    """
    best = greedy(buffers)
    bound = lower_bound(buffers)
    if end_of(buffers, best) <= bound:
        return Allocation(best, "greedy, optimal", bound)
    if decide is None and len(buffers) > SEARCH_BUFFERS:
        return Allocation(best, "greedy", bound)
    # What takes no room lies anywhere.
    solid = [buffer for buffer in buffers if buffer.size_bytes > 0]
    nowhere = dict.fromkeys((buffer.name for buffer in buffers), 0)
    if any(buffer.slide for buffer in solid):
        best = reorder(buffers, best, bound)
        found, reached = _minimize(solid, functools.partial(search_below, solid), bound, end_of(buffers, best), CAPACITIES)
    else:
        limits = CAPACITIES if decide is None else math.inf
        found, reached = _minimize(solid, _by_sections(solid, decide or _beam), bound, end_of(buffers, best), limits)
    best = {**nowhere, **found} if found else best
    if end_of(buffers, best) <= reached:
        return Allocation(best, "exact, optimal", reached)
    if any(buffer.slide for buffer in solid):  # Where none lies over another, there is a better search.
        apart = allocate([dataclasses.replace(buffer, slide=None) for buffer in buffers]).offsets
        best = min(best, apart, key=lambda offsets: end_of(buffers, offsets))
    return Allocation(best, "exact, search limit reached" + (f", at least {reached:,}" if reached > bound else ""), reached)


def _unit(buffers: Sequence[Buffer]) -> int:
    """What divides every size and every distance."""
    slides = [buffer.slide for buffer in buffers if buffer.slide is not None]
    return math.gcd(*(buffer.size_bytes for buffer in buffers), *(n for slide in slides for n in (slide.least, slide.step)))


def reorder(buffers: Sequence[Buffer], offsets: dict[str, int], enough: int) -> dict[str, int]:
    """Better offsets than ``offsets`` where they are found: first-fit in orders that differ a little from the best so far.

    One of the buffers that end highest, or of those below them, is placed before or after another that lives with it.
    """
    pick = random.Random(0)
    order = sorted(buffers, key=lambda b: (offsets[b.name], b.slide is None, b.name))
    best = offsets
    height = end_of(buffers, best)
    for _ in range(min(MOST_ORDERS, ORDER_PAIRS // max(len(buffers) ** 2, 1))):
        if height <= enough:
            break
        tower = _tower(order, best, height)
        moved = pick.choice(tower)
        place = order.index(moved)
        near = [at for at, other in enumerate(order) if at != place and overlaps(other, moved)]
        if not near:
            continue
        tried = [buffer for buffer in order if buffer is not moved]
        tried.insert(pick.choice(near), moved)
        found = first_fit(tried)
        end = end_of(buffers, found)
        if end <= height:
            order, best, height = tried, found, end
    return best


def _tower(buffers: Sequence[Buffer], offsets: Mapping[str, int], height: int) -> list[Buffer]:
    """The buffers that end at ``height``, what lies below them while they live, and so on."""
    top = [buffer for buffer in buffers if offsets[buffer.name] + buffer.size_bytes == height]
    tower = list(top)
    for buffer in tower:
        below = [
            other
            for other in buffers
            if other not in tower and overlaps(other, buffer) and offsets[other.name] <= offsets[buffer.name]
        ]
        tower += below
    return tower


def fit(buffers: Sequence[Buffer], capacity: int, decide: Decide | None = None) -> tuple[Answer, dict[str, int]]:
    """(answer, offsets whose ends lie at ``capacity`` bytes or below): NONE is a proof that there are no such offsets."""
    if not any(buffer.slide for buffer in buffers):
        return _by_sections(buffers, decide or _beam)(capacity)
    found = reorder(buffers, greedy(buffers), capacity)
    return (Answer.FOUND, found) if end_of(buffers, found) <= capacity else search_below(buffers, capacity)


def _minimize(buffers: Sequence[Buffer], search: Search, bound: int, end: int, limits: float) -> tuple[dict[str, int], int]:
    """(the best offsets that end before ``end``, if any; the highest bound proved): the lower ``bound`` first, then halfway to the best,
    until they meet or ``limits`` capacities were left undecided."""
    unit = _unit(buffers)
    best: dict[str, int] = {}
    low = proved = capacity = -(-bound // unit) * unit
    while low < end and limits > 0:
        answer, offsets = search(capacity)
        if answer is Answer.FOUND:
            best, end = offsets, end_of(buffers, offsets)
        else:
            low = capacity + unit
            if answer is Answer.NONE:
                proved = max(proved, low)
            else:
                limits -= 1
        capacity = (low + end - unit) // (2 * unit) * unit
    return best, proved


def _by_sections(buffers: Sequence[Buffer], decide: Decide) -> Search:
    """The search for offsets of ``buffers``, none of which slides."""
    problem = sections(buffers)

    def search(capacity: int) -> tuple[Answer, dict[str, int]]:
        answer, offsets = decide(problem, capacity // problem.unit)
        return answer, _named(buffers, problem, offsets) if answer is Answer.FOUND else {}

    return search


def _named(buffers: Sequence[Buffer], problem: Sections, offsets: Ints) -> dict[str, int]:
    return {buffer.name: int(offset) * problem.unit for buffer, offset in zip(buffers, offsets, strict=True)}


def _beam(problem: Sections, capacity: int) -> tuple[Answer, Ints]:
    return beam_search(problem, capacity, max(min(SEARCH_CELLS // len(problem.size), WIDEST), 1))


def greedy(buffers: Sequence[Buffer]) -> dict[str, int]:
    """The lowest of first-fit in a few orders."""
    orders: tuple[Callable[[Buffer], tuple[int, ...]], ...] = (
        lambda b: (-b.size_bytes, b.first),
        lambda b: (-(b.last - b.first), -b.size_bytes),
        lambda b: (-b.size_bytes * (b.last - b.first + 1), b.first),
        lambda b: (b.first, -b.size_bytes),
        lambda b: (-b.last, -b.size_bytes),
    )
    sorted_buffers = [sorted(buffers, key=lambda b: (*order(b), b.name)) for order in orders]
    if any(buffer.slide for buffer in buffers):
        sorted_buffers += [_sliders_first(each) for each in sorted_buffers]
    return min((first_fit(each) for each in sorted_buffers), key=lambda offsets: end_of(buffers, offsets))


def _sliders_first(order: Sequence[Buffer]) -> list[Buffer]:
    """``order``, each buffer preceded by the one that slides over it: that lies below."""
    over = {buffer.slide.over: buffer for buffer in order if buffer.slide is not None}
    found: dict[str, Buffer] = {}
    for buffer in order:
        for each in (over.get(buffer.name), buffer):
            if each is not None:
                found.setdefault(each.name, each)
    return list(found.values())


def first_fit(order: Sequence[Buffer]) -> dict[str, int]:
    """Place buffers in the given order, each at the lowest gap between those placed that live at the same time."""
    placed: list[Buffer] = []
    offsets: dict[str, int] = {}
    for buffer in order:
        offsets[buffer.name] = lowest_gap(buffer, placed, offsets)
        placed.append(buffer)
    return offsets


def lowest_gap(buffer: Buffer, placed: Sequence[Buffer], offsets: Mapping[str, int]) -> int:
    """The lowest offset at which ``buffer`` overlaps none of ``placed`` that lives at the same time, further than it may slide."""
    offset = 0
    others = [other for other in placed if overlaps(other, buffer)]
    if any(_slides(buffer, other) or _slides(other, buffer) for other in others):
        raised = -1
        while raised != offset:
            raised = offset
            for other in others:
                offset = _allowed(buffer, offset, other, offsets[other.name])
        return offset
    for other in sorted(others, key=lambda p: offsets[p.name]):
        if offset + buffer.size_bytes <= offsets[other.name]:
            break
        offset = max(offset, offsets[other.name] + other.size_bytes)
    return offset


def _slides(above: Buffer, other: Buffer) -> bool:
    return above.slide is not None and above.slide.over == other.name


def _allowed(buffer: Buffer, offset: int, other: Buffer, place: int) -> int:
    """The lowest place for ``buffer`` from ``offset`` on, as far as ``other`` at ``place`` is concerned."""
    if offset + buffer.size_bytes <= place or offset >= place + other.size_bytes:
        return offset
    if buffer.slide is not None and _slides(buffer, other):
        distance = (place - offset) // buffer.slide.step * buffer.slide.step
        if distance >= buffer.slide.least:
            return place - distance
    if other.slide is not None and _slides(other, buffer):
        distance = max(offset - place, other.slide.least)
        return min(place + -(-distance // other.slide.step) * other.slide.step, place + other.size_bytes)
    return place + other.size_bytes


def overlaps(a: Buffer, b: Buffer) -> bool:
    """Whether both live at some step."""
    return a.first <= b.last and b.first <= a.last


def end_of(buffers: Sequence[Buffer], offsets: Mapping[str, int]) -> int:
    """The highest end."""
    return max((offsets[buffer.name] + buffer.size_bytes for buffer in buffers), default=0)
