"""Which memory region each buffer lies in: as much of the traffic as possible in the fastest, and every region's capacity holds.

Two regions at a time: a branch and bound over the buffers decides which lie in the faster one, the others are split over what is left.
Where it ends before its limit, no other choice puts more traffic there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.lower.allocate import SEARCH_BUFFERS, allocate, end_of, fit, greedy, lower_bound, lowest_gap, saved_bytes
from edgewright.lower.beam import Answer
from edgewright.lower.check_plan import PART_ALIGNMENT
from edgewright.lower.memory import Buffer, MemoryPlan, Part
from edgewright.lower.plan_memory import align
from edgewright.lower.sections import sections
from edgewright.lower.traffic import STACK
from edgewright.targets.target import MAIN, Target

MOST_NODES = 4000
"""Branches that the search looks at."""
MOST_PACKINGS = 40
"""Choices whose placement is tried."""
VARIABLES_BYTES = 16
"""What is kept of the main RAM for variables beside the arena, where the arena may fill it to the brim."""
SECTION_ALIGNMENT = 16
"""What linkers align sections to, at most."""
CODE_BYTES = 32 << 10
"""What is kept of the main flash for code and the parameters of layers, where constants may lie elsewhere."""


@dataclass(frozen=True)
class Room:
    """What a program may take of one region; None: no limit."""

    region: str
    capacity_bytes: int | None
    wait_states: float


@dataclass(frozen=True)
class Layout:
    """Buffer name → index of its room, and its offset there. ``optimal``: no other choice has more traffic in the faster rooms."""

    room_of: Mapping[str, int]
    offsets: Mapping[str, int]
    optimal: bool


def ram_rooms(target: Target) -> tuple[Room, ...]:
    """The RAM that the arena may lie in, the fastest first; the main one before others as fast."""
    kept = target.stack_bytes + target.reserved_bytes("ram")
    if any(region.memory == "ram" for region in target.regions):
        kept += VARIABLES_BYTES
    main = Room("ram", None if target.ram_bytes is None else max(target.ram_bytes - kept, 0), target.ram_wait_states)
    beside = (Room(region.name, region.size_bytes, region.wait_states) for region in target.regions if region.memory == "ram")
    return tuple(sorted((main, *beside), key=lambda room: room.wait_states))


def ram_limits(target: Target) -> dict[str, int | None]:
    """Region → bytes that the arena may take of it."""
    return {room.region: room.capacity_bytes for room in ram_rooms(target)}


def place_tables(target: Target, plan: MemoryPlan, sizes: Mapping[str, int], reads: Mapping[str, float]) -> dict[str, str]:
    """Constant table → region beside the main flash that it lies in. ``reads``: bytes read in one inference, by table.

    First the flash that each is stored in; then, of those in the main flash, which are copied to faster RAM that the arena leaves free.
    What fits nowhere stays in the main flash, whose limit is checked when the code is known.
    """
    buffers = [Buffer(name, align(size, PART_ALIGNMENT), 0, 0) for name, size in sizes.items()]
    kept = CODE_BYTES + target.reserved_bytes("flash")
    main = Room("flash", None if target.flash_bytes is None else max(target.flash_bytes - kept, 0), target.flash_wait_states)
    beside = [Room(region.name, region.size_bytes, region.wait_states) for region in target.regions if region.memory == "flash"]
    placed = _tables_in(buffers, reads, sorted((main, *beside), key=lambda room: room.wait_states))
    used = {part.region: align(part.size_bytes, SECTION_ALIGNMENT) + SECTION_ALIGNMENT for part in plan.parts}
    faster = [region for region in target.regions if region.constants and region.memory == "ram" and region.wait_states < main.wait_states]
    rooms = [Room(region.name, max(region.size_bytes - used.get(region.name, 0), 0), region.wait_states) for region in faster]
    rooms.sort(key=lambda room: room.wait_states)
    stored = [buffer for buffer in buffers if placed.get(buffer.name, "flash") == "flash"]
    placed |= _tables_in(stored, reads, [*rooms, Room("flash", None, 0)])
    return {name: region for name, region in placed.items() if region != "flash"}


def _tables_in(buffers: Sequence[Buffer], reads: Mapping[str, float], rooms: Sequence[Room]) -> dict[str, str]:
    """Table → region; nothing where there is no choice, or no way."""
    found = lay_out(buffers, reads, rooms) if len(rooms) > 1 else None
    return {} if found is None else {name: rooms[number].region for name, number in found.room_of.items()}


def split_plan(plan: MemoryPlan, target: Target, traffic: Mapping[str, float]) -> MemoryPlan:
    """``plan`` with its buffers placed in the memory regions of ``target``; as it is where there is but one, or no way was found.

    ``traffic``: value or scratch buffer → bytes moved in one inference. The stack, which lies in the main RAM, counts to its part.
    """
    rooms = ram_rooms(target)
    if len(rooms) == 1:
        return plan
    moved = {buffer.name: 0.0 for buffer in plan.buffers}
    for name, size in traffic.items():
        if (buffer := plan.buffer_of.get(name, name)) in moved:
            moved[buffer] += size
    fits = rooms[0].capacity_bytes is None or plan.arena_bytes <= rooms[0].capacity_bytes
    found = Layout(dict.fromkeys(plan.offsets, 0), plan.offsets, True) if fits else lay_out(plan.buffers, moved, rooms)
    if found is None:
        return plan
    on_stack = traffic.get(STACK, 0.0)
    whole = sum(moved.values()) + on_stack
    offsets: dict[str, int] = {}
    parts: list[Part] = []
    end = 0
    for number, room in enumerate(rooms):
        inside = [buffer for buffer in plan.buffers if found.room_of[buffer.name] == number]
        if not inside:
            continue
        start = align(end, PART_ALIGNMENT)
        here = {buffer.name: found.offsets[buffer.name] for buffer in inside}
        if not fits and end_of(inside, closer := allocate(inside).offsets) < end_of(inside, here):
            here = closer
        end = start + end_of(inside, here)
        offsets |= {name: start + offset for name, offset in here.items()}
        held = sum(moved[buffer.name] for buffer in inside) + (on_stack if room.region == MAIN[0] else 0.0)
        share = held / whole if whole else 0.0
        parts.append(Part(room.region, start, end - start, room.capacity_bytes, share))
    if fits:
        return dataclasses.replace(plan, parts=tuple(parts))
    how = f"split over {len(parts)} memories, {'optimal' if found.optimal else 'search limit reached'}"
    return dataclasses.replace(plan, offsets=offsets, arena_bytes=end, strategy=how, parts=tuple(parts))


def lay_out(buffers: Sequence[Buffer], traffic: Mapping[str, float], rooms: Sequence[Room]) -> Layout | None:
    """Place ``buffers`` in ``rooms``, the fastest first; None where no way was found.

    ``traffic``: bytes moved in one inference, by buffer.
    """
    if not rooms:
        return None if buffers else Layout({}, {}, True)
    answer, offsets = _placed(buffers, rooms[0].capacity_bytes)
    if answer is Answer.FOUND:
        return Layout(dict.fromkeys(offsets, 0), offsets, True)
    return None if len(rooms) == 1 else _Search(buffers, traffic, rooms).run()


def _placed(buffers: Sequence[Buffer], capacity: int | None) -> tuple[Answer, Mapping[str, int]]:
    offsets = greedy(buffers)
    if capacity is None or end_of(buffers, offsets) <= capacity:
        return Answer.FOUND, offsets
    if lower_bound(buffers) > capacity:
        return Answer.NONE, {}
    if len(buffers) > SEARCH_BUFFERS:
        return Answer.LIMIT, {}
    solid = [buffer for buffer in buffers if buffer.size_bytes > 0]
    answer, found = fit(solid, capacity)
    return answer, {**offsets, **found}


def _shared_bytes(buffers: Sequence[Buffer], members: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Section → bytes that buffers which slide over others can share with them, if they lie in one memory."""
    shared = np.zeros(members.shape[1], np.int64)
    at = {buffer.name: index for index, buffer in enumerate(buffers)}
    for buffer in buffers:
        if buffer.slide is not None and buffer.slide.over in at:
            both = members[at[buffer.name]] & members[at[buffer.slide.over]]
            shared[both] += sum(saved_bytes([buffer, buffers[at[buffer.slide.over]]]).values())
    return shared


class _Search:
    """Which of ``buffers`` lie in the first of ``rooms``; those that do not are laid out in the others."""

    def __init__(self, buffers: Sequence[Buffer], traffic: Mapping[str, float], rooms: Sequence[Room]) -> None:
        assert rooms[0].capacity_bytes is not None
        self.capacity, self.rest = rooms[0].capacity_bytes, rooms[1:]
        self.traffic = traffic
        self.buffers = sorted(buffers, key=lambda b: (-traffic.get(b.name, 0.0) / max(b.size_bytes, 1), -b.size_bytes, b.name))
        self.solid = [buffer for buffer in self.buffers if buffer.size_bytes > 0]
        members = sections(self.solid).members()
        self.load = members * np.array([buffer.size_bytes for buffer in self.solid], np.int64)[:, None]
        self.shared = np.zeros(self.load.shape[1], np.int64)
        self.sliding = _shared_bytes(self.solid, members)
        self.weight = np.array([traffic.get(buffer.name, 0.0) for buffer in self.solid])
        sizes = [room.capacity_bytes for room in self.rest]
        self.beyond = None if None in sizes else sum(size or 0 for size in sizes)
        self.nodes, self.packings, self.doubt = 0, 0, False
        self.best: tuple[float, Layout] | None = None

    def run(self) -> Layout | None:
        self._one_by_one()
        none = np.zeros(self.load.shape[1], np.int64)
        if len(self.solid) <= SEARCH_BUFFERS:
            self._branch(0, (), none, none, 0.0)
            if self.sliding.any():  # What was found apart bounds the search for more.
                self.shared, self.nodes, self.packings, self.doubt = self.sliding, 0, 0, False
                self._branch(0, (), none, none, 0.0)
        else:
            self.doubt = True
        if self.best is None:
            return None
        found = self.best[1]
        return Layout(found.room_of, found.offsets, found.optimal and not self.doubt)

    def _one_by_one(self) -> None:
        """A first answer: each buffer, the most moved a byte first, at the lowest gap of the faster room, if it ends within."""
        chosen: list[Buffer] = []
        offsets: dict[str, int] = {}
        for buffer in self.solid:
            at = lowest_gap(buffer, chosen, offsets)
            if at + buffer.size_bytes <= self.capacity:
                chosen.append(buffer)
                offsets[buffer.name] = at
        self._take(offsets)

    def _branch(self, at: int, inside: tuple[int, ...], here: NDArray[np.int64], there: NDArray[np.int64], lost: float) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES or self.packings > MOST_PACKINGS:
            self.doubt = True
            return
        if self.best is not None and lost + self._must_leave(at, here) >= self.best[0]:
            return
        if at == len(self.solid):
            self._place([self.solid[index] for index in inside])
            return
        load = self.load[at]
        if np.all(here + load - self.shared <= self.capacity):
            self._branch(at + 1, (*inside, at), here + load, there, lost)
        if self.beyond is None or np.all(there + load - self.shared <= self.beyond):
            self._branch(at + 1, inside, here, there + load, lost + float(self.weight[at]))

    def _must_leave(self, at: int, here: NDArray[np.int64]) -> float:
        """The least traffic that leaves: at the section where most of it must, parts of buffers with the least traffic a byte."""
        load = self.load[at:]
        excess = here + load.sum(axis=0) - self.shared - self.capacity
        if not len(load) or excess.max() <= 0:
            return 0.0
        backwards = load[::-1]
        before = np.cumsum(backwards, axis=0) - backwards
        part = np.clip(excess - before, 0, backwards)
        return float((part * (self.weight[at:][::-1] / backwards.max(axis=1))[:, None]).sum(axis=0).max())

    def _place(self, chosen: Sequence[Buffer]) -> None:
        """What the search for places leaves open counts as a doubt."""
        self.packings += 1
        answer, offsets = _placed(chosen, self.capacity)
        if answer is Answer.FOUND:
            self._take(offsets)
        else:
            self.doubt = self.doubt or answer is not Answer.NONE

    def _take(self, offsets: Mapping[str, int]) -> None:
        """Keep the choice of what has ``offsets`` in the faster room, if it is the best so far and the others find room beyond."""
        lost = sum(self.traffic.get(buffer.name, 0.0) for buffer in self.solid if buffer.name not in offsets)
        if self.best is not None and lost >= self.best[0]:
            return
        others = [buffer for buffer in self.buffers if buffer.name not in offsets]
        below = lay_out(others, self.traffic, self.rest)
        if below is None:
            proved = len(self.rest) == 1 and _placed(others, self.rest[0].capacity_bytes)[0] is Answer.NONE
            self.doubt = self.doubt or not proved
            return
        room_of = {**dict.fromkeys(offsets, 0), **{name: room + 1 for name, room in below.room_of.items()}}
        self.best = lost, Layout(room_of, {**offsets, **below.offsets}, below.optimal)
