"""What a memory plan is: buffers with their lifetimes, and where each lies in the arena."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Slide:
    """A block may begin ``least`` bytes before buffer ``over``, or more, a multiple of ``step``: what it overwrites is read before."""

    over: str
    least: int
    step: int


@dataclass(frozen=True)
class Buffer:
    """A block of the arena: live from step ``first`` to step ``last`` (indices of nodes, both included).

    Values that share a buffer (in place, views) share one Buffer; inputs are live from step 0, outputs until the last step, states always.
    ``slide``: over which other buffer, that dies as this one begins, it may lie in part.
    """

    name: str
    size_bytes: int
    first: int
    last: int
    slide: Slide | None = None


@dataclass(frozen=True)
class Part:
    """The part of the arena that lies in memory ``region``: from offset ``start`` on.

    ``traffic``: its share of the bytes that are moved.
    """

    region: str
    start: int
    size_bytes: int
    capacity_bytes: int | None = None
    traffic: float = 1.0


@dataclass(frozen=True)
class MemoryPlan:
    """Where everything lies in the arena. ``offsets``: buffer name → byte offset. ``buffer_of``: value name → buffer name.
    ``lower_bound_bytes``: what no placement of ``buffers`` ends below, as far as it was proved.

    ``parts``: where the arena is divided over several memories, in the order of offsets; none where all lies in the RAM.
    """

    buffers: tuple[Buffer, ...]
    offsets: Mapping[str, int]
    buffer_of: Mapping[str, str]
    arena_bytes: int
    lower_bound_bytes: int
    strategy: str
    parts: tuple[Part, ...] = ()

    def offset(self, value: str) -> int:
        """Byte offset of a value."""
        return self.offsets[self.buffer_of[value]]

    def part(self, offset: int) -> Part:
        """The part of the arena that holds byte ``offset``; what takes no room may stand at an end."""
        found = [part for part in self.parts if part.start <= offset]
        return found[-1] if found else Part("ram", 0, self.arena_bytes)
