"""How many cycles a core takes for its instructions: the coefficients of a target file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Pipeline(BaseModel):
    """In-order execution in which instructions overlap: how many issue in a cycle, and how many cycles after that their results are there.

    ``vector_cycles``: how long a vector instruction keeps its unit (loads and stores, multiplications, the rest), while others issue;
    0 where there are no vectors. The latencies are those of vector results that a multiplication gives, and of sums across a vector.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    issue: Literal[1, 2]
    load_latency: float
    multiply_latency: float
    """An accumulator that goes on accumulating waits for nothing."""
    simd_latency: float = 1
    """Of instructions on bytes and halves within a register."""
    shifted_latency: float = 0
    """How much earlier an operand is read that is shifted on its way (other than to the left, with an issue of one)."""
    vector_cycles: float = 0
    vector_multiply_latency: float = 0
    vector_sum_latency: float = 0


class CycleModel(BaseModel):
    """Cycles of an instruction by its class, with zero wait states. Modelled, never measured.

    ``least`` and ``most``: the share of the modelled cycles that a device may take, from no wait states and a kind stream of instructions
    to an unkind one; None where nobody says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: str
    least: Annotated[float, Field(gt=0, le=1)] | None = None
    most: Annotated[float, Field(ge=1)] | None = None
    other: float = 1
    load: float
    load_pipelined: float
    """A load that follows another load or a store directly."""
    store: float
    load_double: float
    store_double: float
    multiple_base: float
    multiple_register: float
    """PUSH, POP, LDM and STM cost ``multiple_base`` and this for each register."""
    multiply: float = 1
    multiply_accumulate: float = 1
    multiply_long: float = 1
    """A product of 64 bits, or its upper half."""
    multiply_long_accumulate: float = 1
    divide: float
    float_other: float
    float_multiply_accumulate: float
    float_divide: float
    if_then: float
    taken_branch: float
    """Added to a branch, or a load into the program counter, that is taken."""
    jump: float | None = None
    call: float | None = None
    """The same for a branch that is always taken, and for a call; None: as any other."""
    pipeline: Pipeline | None = None

    def span(self, cycles: int, off: float = 0.0) -> tuple[int, int] | None:
        """Least and most that ``cycles``, themselves off by at most the share ``off``, stand for; None where the model has no range."""
        if self.least is None or self.most is None:
            return None
        return round(cycles * self.least * (1 - off)), round(cycles * self.most * (1 + off))
