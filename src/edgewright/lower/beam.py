"""Beam search for offsets below a capacity, many partial placements at a time in numpy; exhaustive where the beam never overflows.

A partial placement is a skyline: the floor of every section. The lowest floor comes next: either one of the buffers that fit exactly there
takes it, or none does and the floor rises to the next height at which one could lie. Placements in which a section can no longer hold what
is left of it are dropped; of the others the beam keeps those with most slack, counted in logarithms, as a tight section is lost first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.lower.sections import Sections

NEVER = np.int64(1) << 60
RISES = 64
"""How often in a row a floor may rise before a buffer is placed."""

Ints = NDArray[np.int64]


class Answer(Enum):
    """What a search knows about a capacity."""

    FOUND = "found"
    NONE = "none"
    LIMIT = "limit"


@dataclass(frozen=True)
class _Beam:
    """``floor``, ``left``: sections × placements. ``placed``: buffers × placements. The others, per placement: the way back."""

    floor: Ints
    left: Ints
    placed: NDArray[np.bool_]
    parent: Ints
    buffer: Ints
    offset: Ints

    def keep(self, which: Any) -> _Beam:
        """The placements of a mask or of indices."""
        return _Beam(
            self.floor[:, which], self.left[:, which], self.placed[:, which], self.parent[which], self.buffer[which], self.offset[which]
        )


def beam_search(problem: Sections, capacity: int, width: int) -> tuple[Answer, Ints]:
    """(answer, offsets in units): NONE is a proof that nothing ends at ``capacity`` units or below, LIMIT that ``width`` was too small."""
    return _Search(problem, capacity).run(width)


class _Search:
    def __init__(self, problem: Sections, capacity: int) -> None:
        self.problem, self.capacity = problem, capacity
        self.member = problem.members()
        self.members = [np.flatnonzero(column) for column in self.member.T]
        log = [int(length).bit_length() - 1 for length in problem.stop - problem.first]
        self.levels = max(log) + 1
        stride = np.array(log) * len(problem.load)
        self.left_half = stride + problem.first
        self.right_half = stride + problem.stop - (1 << np.array(log))
        random = np.random.default_rng(0)
        self.buffer_key = random.integers(1, 1 << 62, len(problem.size))
        self.section_key = random.integers(1, 1 << 62, len(problem.load))

    def run(self, width: int) -> tuple[Answer, Ints]:
        buffers, sections = self.member.shape
        nothing = np.zeros(1, np.int64)
        none = np.zeros(0, np.int64)
        beam = _Beam(np.zeros((sections, 1), np.int64), self.problem.load[:, None], np.zeros((buffers, 1), bool), nothing, nothing, nothing)
        trace: list[tuple[Ints, Ints, Ints]] = []
        complete = True
        for _ in range(buffers):
            beam, whole = self._grow(beam)
            complete &= whole
            for _ in range(2):
                beam = self._raise_floors(beam)
            beam = beam.keep(self._distinct(beam))
            if len(beam.parent) > width:
                complete = False
                beam = beam.keep(np.sort(np.argsort(self._tightness(beam), kind="stable")[:width]))
            if not len(beam.parent):
                return Answer.NONE if complete else Answer.LIMIT, none
            trace.append((beam.parent, beam.buffer, beam.offset))
        offsets, at = np.zeros(buffers, np.int64), 0
        for parent, buffer, offset in reversed(trace):
            offsets[buffer[at]] = offset[at]
            at = int(parent[at])
        return Answer.FOUND, offsets

    def _grow(self, beam: _Beam) -> tuple[_Beam, bool]:
        """Every placement of one buffer more, and whether none was left out."""
        grown = []
        floor, left, placed, parent = beam.floor, beam.left, beam.placed, np.arange(beam.floor.shape[1])
        for _ in range(RISES):
            if not len(parent):
                break
            every = np.arange(len(parent))
            open_floor = np.where(left > 0, floor, NEVER)
            lowest = self._lowest(open_floor)
            section = open_floor.argmin(0)
            height = open_floor[section, every]
            here = self.member[:, section] & ~placed
            fits = here & (lowest == height)
            buffer, row = np.nonzero(fits)
            grown.append(self._place(floor[:, row], left[:, row], placed[:, row], parent[row], buffer, height[row]))
            # What lies lowest in this section without touching its floor rests on another's end: one that stands, or one still to come.
            standing = np.where(here & (lowest > height), lowest, NEVER).min(0)
            coming = np.where(~placed & ~here, np.maximum(lowest + self.problem.size[:, None], height + 1), NEVER).min(0)
            rise = np.where(fits.any(0), np.minimum(standing, coming), standing)
            kept = rise + left[section, every] <= self.capacity
            floor = floor.copy()
            floor[section, every] = rise
            floor, left, placed, parent = floor[:, kept], left[:, kept], placed[:, kept], parent[kept]
        joined = [np.concatenate(parts, axis=-1) for parts in zip(*([*vars(each).values()] for each in grown), strict=True)]
        return _Beam(*joined), not len(parent)

    def _place(self, floor: Ints, left: Ints, placed: NDArray[np.bool_], parent: Ints, buffer: Ints, height: Ints) -> _Beam:
        inside = self.member.T[:, buffer]
        size = self.problem.size[buffer]
        floor = np.where(inside, height + size, floor)
        left = left - inside * size
        placed[buffer, np.arange(len(buffer))] = True
        return _Beam(floor, left, placed, parent, buffer, height).keep(np.all(floor + left <= self.capacity, axis=0))

    def _lowest(self, floor: Ints) -> Ints:
        """The lowest place of every buffer: the highest floor over its sections, from two overlapping ranges of a power of two."""
        table = np.empty((self.levels, *floor.shape), np.int64)
        table[0] = floor
        for level in range(1, self.levels):
            half = 1 << (level - 1)
            table[level] = table[level - 1]
            np.maximum(table[level - 1][:-half], table[level - 1][half:], out=table[level][:-half])
        rows = table.reshape(self.levels * len(floor), floor.shape[1])
        return np.asarray(np.maximum(rows[self.left_half], rows[self.right_half]))

    def _raise_floors(self, beam: _Beam) -> _Beam:
        """Floors raised to the lowest place of what is left; placements that break by it are dropped."""
        lowest = np.where(beam.placed, NEVER, self._lowest(np.where(beam.left > 0, beam.floor, NEVER)))
        least = np.stack([lowest[members].min(0) for members in self.members])
        floor = np.where(beam.left > 0, np.maximum(beam.floor, least), beam.floor)
        raised = _Beam(floor, beam.left, beam.placed, beam.parent, beam.buffer, beam.offset)
        return raised.keep(np.all(floor + beam.left <= self.capacity, axis=0))

    def _distinct(self, beam: _Beam) -> Ints:
        """One of each: the same buffers placed under the same floors, wherever anything is left to place. Compared by a 64-bit hash."""
        key = self.buffer_key @ beam.placed + self.section_key @ (beam.floor * (beam.left > 0))
        return np.asarray(np.sort(np.unique(key, return_index=True)[1]))

    def _tightness(self, beam: _Beam) -> NDArray[np.float64]:
        slack = np.where(beam.left > 0, self.capacity - beam.floor - beam.left, self.capacity)
        return np.asarray(-np.log(slack + 1.0).sum(0).round(9))
