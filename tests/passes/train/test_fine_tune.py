"""Fine-tuning learns back what was lost, keeps structures, and leaves alone what it cannot better."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgewright.data import Data
from edgewright.errors import DataError, ModelError, RecipeError
from edgewright.ir.edit import GraphBuilder, rebuild
from edgewright.ir.graph import Constant, Graph, Structure
from edgewright.ops import Dense
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.recipe import Recipe, Step
from edgewright.steps import run_recipe
from tests.train.digits import digit_images, digit_network, need_training, trained_digits

PASSES = load_passes()


@pytest.fixture(autouse=True)
def _needs_train() -> None:
    need_training()


def accuracy(graph: Graph, data: Data) -> float:
    return float((evaluate(graph, data.inputs)[0].argmax(-1) == data.labels).mean())


def pruned(graph: Graph, name: str = "second.weight") -> Graph:
    """The smaller 70 % of a layer's weights zero, and a mask that says so."""
    array = np.asarray(graph.array(name), np.float32)
    mask = np.abs(array) > np.quantile(np.abs(array), 0.7)
    return rebuild(graph, constants={name: Constant(array * mask, Structure(mask=mask))})


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_what_pruning_cost_is_learned_back_and_zeros_stay(optimizer: str):
    data, test = digit_images()
    sparse = pruned(trained_digits())
    ctx = Context(data=data)
    options = {"epochs": 3, "learning_rate": 0.01, "optimizer": optimizer}
    tuned = PASSES["fine_tune"].function(sparse, ctx, **options)
    assert accuracy(tuned, test) > accuracy(sparse, test) + 0.05
    constant = tuned.constants["second.weight"]
    assert constant.structure is not None and not np.any(np.asarray(constant.array)[~constant.structure.mask])
    (line,) = ctx.lines
    assert line.action == "did" and "3 epochs of 1080 samples" in line.detail and "on 120 held out: loss" in line.detail
    assert "accuracy" in line.detail
    again = PASSES["fine_tune"].function(sparse, Context(data=data), **options)
    assert again.digest == tuned.digest
    other = PASSES["fine_tune"].function(sparse, Context(data=data, seed=1), **options)
    assert other.digest != tuned.digest


def test_a_recipe_tells_how_far_it_is():
    told: list[tuple[str, int, int]] = []
    recipe = Recipe("r", (Step("remove_identities"), Step("fine_tune", {"epochs": 1})))
    run_recipe(trained_digits(), recipe, Context(data=digit_images()[0]), progress=lambda *line: told.append(line))
    assert told[1] == ("fine_tune", 1, 2) and told[2][0].startswith("fine_tune: epoch 1 of 1, loss") and told[2][1:] == (1, 2)


def test_a_network_that_gets_no_better_stays():
    data, _ = digit_images()
    ctx = Context(data=data)
    graph = trained_digits()
    assert PASSES["fine_tune"].function(graph, ctx, epochs=1, learning_rate=10.0, augment="flip,shift") is graph
    assert [line.action for line in ctx.lines] == ["skipped"] and "none of 1 epochs was better" in ctx.lines[0].detail


def test_regression_and_reproduction():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype(np.float32)

    def one_layer(outputs: int) -> Graph:
        b = GraphBuilder("layer")
        return b.finish([b.node(Dense(), [b.input("x", (None, 4)), b.constant("weight", np.zeros((outputs, 4), np.float32))])])

    counts = Data((x,), np.round(3 * x[:, 0]).astype(np.int64))
    tuned = PASSES["fine_tune"].function(one_layer(1), Context(data=counts), epochs=60, learning_rate=0.1)
    np.testing.assert_allclose(tuned.array("weight"), [[3, 0, 0, 0]], atol=0.2)
    same = PASSES["fine_tune"].function(one_layer(4), Context(data=Data((x,))), epochs=20, learning_rate=0.1)
    np.testing.assert_allclose(same.array("weight"), np.eye(4), atol=0.05)


def test_what_it_refuses():
    data, _ = digit_images()
    tune = PASSES["fine_tune"].function
    with pytest.raises(DataError, match="fine_tune needs labels"):
        tune(digit_network(), Context(data=dataclasses.replace(data, labels=None)))
    with pytest.raises(DataError, match="1 samples are too few"):
        tune(digit_network(), Context(data=data.take(slice(0, 1))))
    with pytest.raises(RecipeError, match="unknown augmentation 'mixup'"):
        tune(digit_network(), Context(data=data), augment="mixup")
    with pytest.raises(RecipeError, match="unknown schedule 'often'"):
        tune(digit_network(), Context(data=data), schedule="often")
    huge = rebuild(digit_network(), constants={"first.weight": Constant(np.full((12, 3, 3, 1), 3e38, np.float32))})
    with pytest.raises(ModelError, match="'first' is the first that is not finite"):
        tune(huge, Context(data=data))
