"""The arena in the report: which buffer lies where, and when."""

from __future__ import annotations

import dataclasses

from pydantic import BaseModel

from edgewright.lower.program import Program


class Block(BaseModel, frozen=True):
    """A buffer of the arena: bytes ``offset`` … ``offset + size_bytes``, live over steps ``first`` … ``last``; ``values`` share it.

    ``kind``: "input", "output", "state", "scratch" or "activation".
    """

    name: str
    kind: str
    offset: int
    size_bytes: int
    first: int
    last: int
    values: list[str]


class MemoryPart(BaseModel, frozen=True):
    """What lies in one memory of the device; ``traffic``: the share of all bytes that layers move, told from their shapes."""

    region: str
    start: int
    size_bytes: int
    capacity_bytes: int | None
    traffic: float

    def text(self) -> str:
        """In a line."""
        limit = "" if self.capacity_bytes is None else f" of {self.capacity_bytes:,}"
        return f"{self.size_bytes:,} B{limit}, {100 * self.traffic:.0f} % of the bytes that layers move"


class Memory(BaseModel, frozen=True):
    """The arena, and its parts where the device has several memories.

    ``lower_bound_bytes`` is what no placement of these buffers can go below; ``steps`` names what runs at each step.
    """

    arena_bytes: int
    lower_bound_bytes: int
    strategy: str
    steps: list[str]
    blocks: list[Block]
    parts: list[MemoryPart] = []


def live_bytes(memory: Memory, step: int) -> int:
    """Bytes of the arena that are in use at ``step``; what two blocks share counts once."""
    found, end = 0, 0
    for block in sorted((block for block in memory.blocks if block.first <= step <= block.last), key=lambda block: block.offset):
        found += max(0, block.offset + block.size_bytes - max(end, block.offset))
        end = max(end, block.offset + block.size_bytes)
    return found


def memory_of(program: Program) -> Memory:
    """The arena of ``program``, buffer by buffer."""
    graph, plan = program.executed, program.plan
    members: dict[str, list[str]] = {}
    for value, holder in plan.buffer_of.items():
        members.setdefault(holder, []).append(value)
    states = {state.read for state in graph.states}
    blocks = []
    for buffer in plan.buffers:
        values = members.get(buffer.name, [])
        kinds = (("state", states), ("input", graph.inputs), ("output", graph.outputs))
        kind = next((kind for kind, names in kinds if any(value in names for value in values)), "activation" if values else "scratch")
        blocks.append(
            Block(
                name=buffer.name,
                kind=kind,
                offset=plan.offsets[buffer.name],
                size_bytes=buffer.size_bytes,
                first=buffer.first,
                last=buffer.last,
                values=values,
            )
        )
    return Memory(
        arena_bytes=plan.arena_bytes,
        lower_bound_bytes=plan.lower_bound_bytes,
        strategy=plan.strategy,
        steps=[node.name for node in graph.nodes],
        blocks=blocks,
        parts=[MemoryPart(**dataclasses.asdict(part)) for part in plan.parts],
    )
