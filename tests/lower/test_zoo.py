"""Every animal of the zoo: quantized it stays close to float, its plan is sound, and no plan below its bound passes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgewright.errors import ModelError
from edgewright.ir.graph import Level
from edgewright.lower.check_plan import check_plan
from edgewright.lower.integer import lower_integer
from edgewright.lower.program import make_program
from edgewright.ops.evaluate import dequantize_outputs, evaluate_in_order
from edgewright.report.accuracy import signal_to_noise_db
from edgewright.targets.target import load_target
from tests.zoo import INTEGER_ZOO, ZOO, integer_inputs, quantize_zoo, zoo_inputs

TARGET = load_target("cortex-m4")
LEAST_DB = 16.0
"""Random weights are harder to quantize than trained ones; a wrong grid or a lost constant lands far below."""


@pytest.mark.parametrize("clean", [False, True], ids=["plain", "clean"])
@pytest.mark.parametrize("name", sorted(ZOO))
def test_integers_stay_close_to_floats(name: str, clean: bool) -> None:
    graph = ZOO[name]()
    integer = quantize_zoo(graph, clean=clean)
    before = evaluate_in_order(graph, zoo_inputs(graph, 50))
    after = dequantize_outputs(integer, evaluate_in_order(integer, integer_inputs(graph, integer, 50)))
    for output, first, second in zip(graph.outputs, before, after, strict=True):
        ratio = signal_to_noise_db(np.asarray(first, np.float32), second)
        assert ratio is None or ratio > LEAST_DB, f"{output}: {ratio:.1f} dB"


@pytest.mark.parametrize("name", sorted({**ZOO, **INTEGER_ZOO}))
def test_programs(name: str) -> None:
    animal = {**ZOO, **INTEGER_ZOO}[name]()
    graph = quantize_zoo(animal, clean=True)
    program = make_program(graph, TARGET)
    assert program.graph.level is Level.INTEGER and all(value.shape[:1] != (None,) for value in program.graph.values.values())
    inputs = integer_inputs(animal, graph, 3)
    for first, second in zip(evaluate_in_order(graph, inputs), evaluate_in_order(program.graph, inputs), strict=True):
        assert np.array_equal(first, second)
    plan = program.plan
    assert plan.lower_bound_bytes <= plan.arena_bytes <= 1.25 * plan.lower_bound_bytes
    with pytest.raises(ModelError, match="outside of the arena"):
        check_plan(program.graph, dataclasses.replace(plan, arena_bytes=plan.arena_bytes - 4))


def test_an_integer_graph_is_not_lowered_again_and_a_float_one_not_at_all() -> None:
    graph = quantize_zoo(ZOO["conv_same_relu"]())
    assert lower_integer(graph, TARGET) is graph
    with pytest.raises(ModelError, match="'conv_same_relu' is a float network") as caught:
        lower_integer(ZOO["conv_same_relu"](), TARGET)
    assert "recipe w8a8" in caught.value.hint
