"""Programs: what is refused, and what is said about a network that does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.errors import BudgetError, ModelError, UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.lower.program import make_program
from edgewright.ops.dense import Dense
from edgewright.ops.relu import Relu
from edgewright.targets.target import Target, load_target
from tests.lower.graphs import QUANT, IntegerBuilder


def dense(inputs: int, outputs: int) -> Graph:
    b = GraphBuilder("net", Level.INTEGER)
    x = b.input("x", (None, inputs), DType.INT8, QUANT)
    weight = b.constant("weight", np.ones((outputs, inputs), np.int8), quant=Quant.per_axis(np.ones(outputs, np.float32), 0))
    return b.finish([b.node(Dense(), [x, weight], name="fc", dtype=DType.INT8, quants=[QUANT])])


def device(ram_bytes: int, flash_bytes: int) -> Target:
    return load_target("cortex-m4").model_copy(
        update={"name": "tiny", "ram_bytes": ram_bytes, "flash_bytes": flash_bytes, "stack_bytes": 1024}
    )


def test_a_program_is_for_one_sample_and_has_a_plan() -> None:
    program = make_program(dense(16, 4), load_target("cortex-m4"))
    assert program.graph.value("x").shape == (1, 16)
    assert program.plan.arena_bytes == 20
    assert not program.scratch


def test_an_arena_that_leaves_no_room_for_the_stack() -> None:
    assert make_program(dense(1000, 16), device(2040, 1 << 20)).plan.arena_bytes == 1016
    with pytest.raises(BudgetError) as caught:
        make_program(dense(1000, 16), device(2036, 1 << 20))
    assert "needs 1,016 bytes, tiny has 1,012 (2,036 of RAM less 1,024 for the stack): 4 too many" in caught.value.message
    assert caught.value.hint.startswith("the peak stands at 'fc', held by 'x' (1,000 B), 'fc' (16 B)")


def test_weights_beyond_the_flash() -> None:
    with pytest.raises(BudgetError, match="weights of 'net' take 16,000 bytes, tiny has 15,999 of flash: 1 too many"):
        make_program(dense(1000, 16), device(1 << 20, 15999))


def test_levels_below_and_constant_outputs_are_refused() -> None:
    b = GraphBuilder("net")
    graph = b.finish([b.node(Relu(), [b.input("x", (None, 4))])])
    with pytest.raises(ModelError, match="float graph"):
        make_program(graph, load_target("host"))
    b2 = IntegerBuilder()
    constant = b2.builder.constant("c", np.zeros((1, 2), np.int8), quant=QUANT)
    with pytest.raises(UnsupportedError, match="output 'c' of 'net' is a constant"):
        make_program(b2.finish([constant, b2.node(Relu(), b2.input("x", 4))]), load_target("host"))
