"""The Program: an integer graph in its final order, with every byte of RAM placed. Emitters turn it into files and decide nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgewright.ir.graph import Graph
from edgewright.targets.target import Target


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


@dataclass(frozen=True)
class Program:
    """``graph``: integer level, scheduled, batch 1. ``scratch``: node name → scratch buffer name in the plan (only nodes that need scratch)."""

    graph: Graph
    target: Target
    plan: MemoryPlan
    scratch: Mapping[str, str]
