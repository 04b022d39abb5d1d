"""Blocks whose instructions overlap, counted by hand."""

from __future__ import annotations

import pytest

from edgewright.run.instruction import Instruction
from edgewright.run.pipelined import pipelined_cycles
from edgewright.targets.cycle_model import Pipeline

ONE = Pipeline(issue=1, load_latency=2, multiply_latency=2, simd_latency=2, shifted_latency=1)
TWO = Pipeline(issue=2, load_latency=2, multiply_latency=2, shifted_latency=1)
BEATS = Pipeline(issue=1, load_latency=1, multiply_latency=2, vector_cycles=2, vector_multiply_latency=2, vector_sum_latency=3)


def cycles(pipeline: Pipeline, *lines: str) -> float:
    parts = [line.partition(" ") for line in lines]
    return pipelined_cycles([Instruction(0, mnemonic, operands) for mnemonic, _, operands in parts], pipeline, lambda _: 1)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["adds r0, #1", "adds r1, #1"], 2),
        (["ldr r0, [r1]", "adds r2, #1", "adds r0, #1"], 3),
        (["ldr r0, [r1]", "adds r0, #1"], 3),
        (["mul r0, r1, r2", "mul r3, r0, r2"], 3),
        (["smlad r0, r1, r2, r0", "smlad r0, r3, r4, r0"], 2),
        (["add r0, r3, r2", "add r1, r3, r0, asr #2"], 3),
        (["add r0, r3, r2", "add r1, r3, r0, lsl #2"], 2),
        (["ldr r0, [r0]"], 2),
    ],
)
def test_one_at_a_time(lines: list[str], expected: float) -> None:
    assert cycles(ONE, *lines) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["adds r0, #1", "adds r1, #1"], 1),
        (["adds r0, #1", "adds r1, r0, #1"], 2),
        (["ldr r0, [r4]", "ldr r1, [r5]"], 1),
        (["ldr r0, [r4]", "str r1, [r5]"], 2),
        (["smlad r0, r1, r2, r0", "smlad r3, r1, r2, r3"], 2),
        (["smlad r0, r1, r2, r0", "ldr r4, [r5]", "smlad r3, r1, r2, r3", "adds r6, #1"], 2),
        (["adds r6, #1", "smlad r0, r1, r2, r0"], 2),
        (["lsls r0, r5, #1", "sxtb r1, r6"], 2),
    ],
)
def test_two_at_a_time(lines: list[str], expected: float) -> None:
    assert cycles(TWO, *lines) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["vldrb.u8 q0, [r0], #16", "vmlava.s8 r2, q1, q2"], 2),
        (["vadd.i32 q0, q1, q2", "vsub.i32 q3, q1, q2"], 4),
        (["vldrb.u8 q0, [r0, q1]"], 8),
        (["vldrb.u8 q0, [r0], #16", "vldrb.u8 q1, [r1], #16", "vmlava.s8 r2, q0, q1", "le lr, 100"], 4),
        (["vmlav.s8 r2, q0, q1", "adds r2, #1"], 4),
    ],
)
def test_vectors(lines: list[str], expected: float) -> None:
    assert cycles(BEATS, *lines) == expected
