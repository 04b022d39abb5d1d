"""Cycles of a block on a core whose instructions overlap: an in-order pipeline, scored instruction by instruction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgewright.run.instruction import Instruction, Kind
from edgewright.targets.cycle_model import Pipeline

_MULTIPLIES: tuple[Kind, ...] = ("multiply", "multiply accumulate", "multiply long", "multiply long accumulate")
_LOADS: tuple[Kind, ...] = ("load", "load double", "load multiple")
_MEMORY: tuple[Kind, ...] = ("load", "store", "load double", "store double")
_UNITS: dict[Kind, str] = {"vector load": "memory", "vector store": "memory", "vector multiply": "multiply", "vector": "rest"}
_FIRST_ONLY: tuple[Kind, ...] = (*_MULTIPLIES, "simd")
"""With two issued at once: multiplications and SIMD instructions are the first of the two."""
_ALONE: tuple[Kind, ...] = ("load multiple", "store multiple", "divide", "float divide")
_GATHERED = 2
"""Elements at addresses of their own that a vector load or store takes in a cycle."""


@dataclass
class _Core:
    pipeline: Pipeline
    cost: Callable[[Instruction], float]
    now: float = 0.0
    """The cycle in which the next instruction may issue."""
    partner: Instruction | None = None
    """What issued last, where another may join it."""
    issued: float = 0.0
    ready: dict[str, float] = field(default_factory=dict)
    free: dict[str, float] = field(default_factory=dict)

    def run(self, instructions: Sequence[Instruction]) -> None:
        for instruction in instructions:
            self._issue(instruction)
        self.partner = None

    def _issue(self, instruction: Instruction) -> None:
        kind, unit = instruction.kind, _UNITS.get(instruction.kind, "")
        if kind == "loop end":
            return  # The processor knows the end of the loop and takes no cycle for it.
        waits = [self.ready.get(name, 0.0) for name in instruction.read]
        if instruction.shifted is not None and (instruction.shifted[1] != "lsl" or self.pipeline.issue == 2):
            waits.append(self.ready.get(instruction.shifted[0], 0.0) + self.pipeline.shifted_latency)
        joins = self.partner is not None and _together(self.partner, instruction) and max(waits, default=0.0) <= self.issued
        at = self.issued if joins else max([self.now, self.free.get(unit, 0.0), *waits])
        busy = self.cost(instruction)
        if unit:
            elements = instruction.spread
            self.free[unit] = at + (elements / _GATHERED if elements else self.pipeline.vector_cycles)
        for name in instruction.written:
            self.ready[name] = at + self._latency(instruction, busy)
        self.issued, self.now = at, max(self.now, at + busy)
        self.partner = None if joins or self.pipeline.issue == 1 or kind in _ALONE else instruction

    def _latency(self, instruction: Instruction, busy: float) -> float:
        kind, pipeline = instruction.kind, self.pipeline
        if kind in _LOADS:
            return max(pipeline.load_latency, busy)
        if kind in _MULTIPLIES:
            return max(pipeline.multiply_latency, busy)
        if kind == "simd":
            return pipeline.simd_latency
        if kind == "vector multiply":
            across = any(name.startswith("r") for name in instruction.written)
            return pipeline.vector_sum_latency if across else pipeline.vector_multiply_latency
        return busy


def _together(first: Instruction, second: Instruction) -> bool:
    """Whether two neighbours may issue in one cycle: no result of the one in the other, two loads of a word but nothing else of memory, one
    shifter."""
    if second.kind in (*_FIRST_ONLY, *_ALONE) or first.kind in ("branch", "if then") or second.kind == "if then":
        return False
    if first.written & (second.read | second.written | second.accumulated):
        return False
    if first.uses_shifter and second.uses_shifter:
        return False
    memory = [instruction.kind for instruction in (first, second) if instruction.kind in _MEMORY]
    return len(memory) < 2 or memory == ["load", "load"]


def pipelined_cycles(instructions: Sequence[Instruction], pipeline: Pipeline, cost: Callable[[Instruction], float]) -> float:
    """Cycles of a block that follows itself, as the body of a loop does. ``cost``: cycles until the next may issue after one alone."""
    core = _Core(pipeline, cost)
    core.run(instructions)
    once = core.now
    core.run(instructions)
    return core.now - once
