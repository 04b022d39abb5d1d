"""Layers become chains that cost what was asked, lose what they say, pay on the target, and leave structures alone."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Structure
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.targets.target import load_target
from tests.train.digits import digit_images, digit_network, need_training, trained_digits

PASSES = load_passes()


@pytest.fixture(autouse=True)
def _needs_train() -> None:
    need_training()


def factorized(graph: Graph, data: Data | None = None, **options: object) -> tuple[Graph, Context]:
    ctx = Context(data=data, teacher=graph)
    return PASSES["factorize_layers"].function(graph, ctx, **options), ctx


@pytest.mark.parametrize("measure", ["macs", "parameters"])
def test_the_budget_is_kept_and_data_help(measure):
    data, test = digit_images()
    graph = trained_digits()
    with_data, ctx = factorized(graph, data, keep=0.5, measure=measure)
    without, _ = factorized(graph, None, keep=0.5, measure=measure)
    costs = [getattr(cost(one), measure) for one in (graph, with_data, without)]
    biases = sum(12 for _ in ("first", "second")) + 10
    assert costs[1] <= 0.5 * costs[0] + biases and costs[2] <= 0.5 * costs[0] + biases
    wanted = evaluate(graph, test.inputs)[0].argmax(-1)
    agreed = [(evaluate(one, test.inputs)[0].argmax(-1) == wanted).mean() for one in (with_data, without)]
    assert agreed[0] > agreed[1]
    assert all(line.action == "did" and "of rank" in line.detail and f" {measure}, " in line.detail for line in ctx.lines)


def test_distillation_repairs_it():
    data, test = digit_images()
    data = Data(data.inputs)
    graph = trained_digits()
    broken, ctx = factorized(graph, data, keep=0.45)
    repaired = PASSES["distill"].function(broken, ctx, epochs=3, learning_rate=0.01, loss="layers")
    wanted = evaluate(graph, test.inputs)[0].argmax(-1)
    agreed = [(evaluate(one, test.inputs)[0].argmax(-1) == wanted).mean() for one in (broken, repaired)]
    assert agreed[1] > agreed[0] + 0.2


def test_energy_decides_instead():
    graph = trained_digits()
    kept = {share: factorized(graph, digit_images()[0], energy=share)[0] for share in (0.9, 0.99)}
    assert cost(kept[0.9]).macs < cost(kept[0.99]).macs < cost(graph).macs
    nothing, ctx = factorized(graph, digit_images()[0], energy=0.9999999)
    assert nothing is graph and not ctx.lines


def test_structures_stay():
    graph = digit_network()
    array = np.asarray(graph.array("second.weight"), np.float32)
    masked = rebuild(graph, constants={"second.weight": Constant(array, Structure(mask=np.ones(array.shape, bool)))})
    result, ctx = factorized(masked, keep=0.5)
    assert result.constants["second.weight"].structure is not None
    assert [line.where for line in ctx.lines if line.action == "skipped" and "structure" in line.detail] == ["second"]


def test_what_does_not_pay_on_the_target_is_left_out():
    graph = trained_digits()
    ctx = Context(target=load_target("cortex-m4"), costs={"cycles": lambda one: float(len(one.nodes))})
    assert PASSES["factorize_layers"].function(graph, ctx, keep=0.5) is graph
    assert ctx.lines and all(line.action == "skipped" for line in ctx.lines)
    assert any("would take 2 cycles instead of 1 on cortex-m4" in line.detail for line in ctx.lines)
    with pytest.raises(RecipeError, match="needs a target whose cycles are known"):
        factorized(graph, keep=0.5, measure="cycles")
    for options in ({"keep": 0.0}, {"energy": 1.0}, {"method": "cp"}, {"measure": "bytes"}, {"samples": -1}):
        with pytest.raises(RecipeError):
            factorized(graph, **options)
