"""What a memory plan is: buffers with their lifetimes, and where each lies in the arena."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Buffer:
    """A block of the arena: live from step ``first`` to step ``last`` (indices of nodes, both included).

    Values that share a buffer (in place, views) share one Buffer; inputs are live from step 0, outputs until the last step, states always.
    """

    name: str
    size_bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class MemoryPlan:
    """Where everything lies in the arena. ``offsets``: buffer name → byte offset. ``buffer_of``: value name → buffer name."""

    buffers: tuple[Buffer, ...]
    offsets: Mapping[str, int]
    buffer_of: Mapping[str, str]
    arena_bytes: int
    lower_bound_bytes: int
    strategy: str

    def offset(self, value: str) -> int:
        """Byte offset of a value."""
        return self.offsets[self.buffer_of[value]]
