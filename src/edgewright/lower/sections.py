"""An allocation problem in the form that searches work on: lifetimes as ranges of sections, sizes in their greatest common unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.lower.memory import Buffer


@dataclass(frozen=True)
class Sections:
    """A section is a set of buffers that live together, maximal under inclusion; two buffers clash exactly where they share a section.

    Buffer ``b`` of ``size[b]`` units of ``unit`` bytes lives in sections ``first[b]`` to ``stop[b]`` (excluded) and for ``width[b]`` steps;
    ``load[s]``: units that live in section ``s``.
    """

    unit: int
    size: NDArray[np.int64]
    first: NDArray[np.int64]
    stop: NDArray[np.int64]
    width: NDArray[np.int64]
    load: NDArray[np.int64]

    def members(self) -> NDArray[np.bool_]:
        """Which buffer (row) lives in which section (column)."""
        sections = np.arange(len(self.load))
        return np.asarray((self.first[:, None] <= sections) & (sections < self.stop[:, None]))


def sections(buffers: Sequence[Buffer]) -> Sections:
    """The sections of ``buffers`` in the order of time, at least one buffer given and none empty."""
    firsts = np.array([buffer.first for buffer in buffers], np.int64)
    lasts = np.array([buffer.last for buffer in buffers], np.int64)
    # A live set is maximal where a buffer has begun since the last end, and one ends before the next beginning.
    begins = np.unique(firsts)
    ends = np.unique(lasts)
    following = np.append(begins[1:], np.iinfo(np.int64).max)
    steps = begins[np.searchsorted(ends, begins) < np.searchsorted(ends, following)]
    first = np.searchsorted(steps, firsts)
    stop = np.searchsorted(steps, lasts, side="right")
    sizes = [buffer.size_bytes for buffer in buffers]
    unit = math.gcd(*sizes)
    size = np.array([each // unit for each in sizes], np.int64)
    load = np.array([int(size[(first <= s) & (s < stop)].sum()) for s in range(len(steps))], np.int64)
    return Sections(unit, size, first, stop, lasts - firsts + 1, load)
