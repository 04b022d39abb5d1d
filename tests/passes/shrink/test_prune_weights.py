"""Masks: how many, where, what they leave, and that data choose better than magnitude alone."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ir.edit import GraphBuilder, rebuild
from edgewright.ir.graph import Constant, Graph, Structure
from edgewright.ops import Conv2D, Dense, DepthwiseConv2D, Mean
from edgewright.ops.evaluate import evaluate
from edgewright.passes import find_pass
from edgewright.passes.registry import Context


def network(seed: int = 0) -> Graph:
    """Convolution, depthwise convolution and dense layer; the inputs of the last differ much in size."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder("net")
    x = b.input("x", (None, 6, 6, 8))
    w = b.constant("first", rng.normal(size=(16, 3, 3, 8)).astype(np.float32) / 8)
    x = b.node(Conv2D(padding=((1, 1), (1, 1)), activation="relu"), [x, w], name="conv")
    sizes = rng.permutation(np.geomspace(0.02, 2, 16))[:, None, None, None]
    d = b.constant("depthwise", (rng.normal(size=(16, 3, 3, 1)) * sizes).astype(np.float32))
    x = b.node(DepthwiseConv2D(), [x, d], name="depthwise_conv")
    x = b.node(Mean((1, 2)), [x])
    v = b.constant("last", rng.normal(size=(10, 16)).astype(np.float32))
    return b.finish([b.node(Dense(), [x, v], name="dense")])


def context(count: int = 64) -> Context:
    rng = np.random.default_rng(1)
    return Context(data=Data((rng.normal(size=(count, 6, 6, 8)).astype(np.float32),)))


def prune(graph: Graph, ctx: Context | None = None, **options: object) -> Graph:
    return find_pass("prune_weights").function(graph, ctx or context(), **options)


def share(graph: Graph, name: str) -> float:
    return float((graph.array(name) == 0).mean())


def test_each_layer_loses_its_least_weights():
    before, ctx = network(), context()
    after = prune(before, ctx, sparsity=0.75)
    for name in ("first", "last"):
        mask = after.constants[name].structure.mask
        assert share(after, name) == 0.75
        assert np.abs(before.array(name))[mask].min() >= np.abs(before.array(name))[~mask].max()
        np.testing.assert_array_equal(after.array(name), np.where(mask, before.array(name), 0))
    assert share(after, "depthwise") == 0
    assert any("too few to prune" in line.detail for line in ctx.lines)


def test_n_of_m_neighbours_stay():
    after = prune(network(), pattern="2:4")
    for name in ("first", "last"):
        assert after.constants[name].structure.pattern == (2, 4)
        np.testing.assert_array_equal((after.array(name).reshape(-1, 4) != 0).sum(1), 2)


def test_a_width_that_no_pattern_fits_is_skipped():
    ctx = context()
    after = prune(network(), ctx, pattern="1:16")
    assert share(after, "first") == 0
    assert share(after, "last") == 15 / 16
    assert any("no multiple of 16" in line.detail for line in ctx.lines)


def test_all_layers_together():
    after = prune(network(), scope="global", sparsity=0.9)
    weights = [after.array(name).reshape(-1) for name in ("first", "last")]
    zeros = sum(int((array == 0).sum()) for array in weights)
    assert zeros == sum(map(len, weights)) - round(0.1 * sum(map(len, weights)))
    assert all(array.any() for array in weights)


def test_what_was_pruned_stays_pruned():
    half = prune(network(), sparsity=0.5)
    more = prune(half, sparsity=0.8, importance="activation")
    for name in ("first", "last"):
        assert not (more.array(name)[half.array(name) == 0]).any()
    assert prune(half, sparsity=0.5) is half
    assert prune(half, sparsity=0.3) is half


@pytest.mark.parametrize("pattern", ["", "2:4"])
def test_data_choose_better_than_magnitude_and_refitting_better_still(pattern: str):
    before = network()
    inputs = [np.random.default_rng(2).normal(size=(200, 6, 6, 8)).astype(np.float32)]
    (wanted,) = evaluate(before, inputs)

    def error(**options: object) -> float:
        (got,) = evaluate(prune(before, context(512), sparsity=0.6, pattern=pattern, **options), inputs)
        return float(np.square(got - wanted).mean())

    plain, chosen = error(), error(importance="activation")
    assert chosen < 0.7 * plain
    assert error(importance="activation", refit_layers=True) < 0.7 * chosen


def test_weights_that_move_to_zero_leave_first():
    came = network()
    now = came.array("last") * np.linspace(0.5, 1.5, 16, dtype=np.float32)
    trained = rebuild(came, constants={"last": Constant(now)})
    ctx = Context(teacher=came)
    after = prune(trained, ctx, sparsity=0.5, importance="movement")
    mask, moved = after.constants["last"].structure.mask, now**2 - came.array("last") ** 2
    assert moved[mask].min() >= moved[~mask].max()
    assert share(after, "last") == 0.5
    by_size = prune(trained, sparsity=0.5).constants["last"].structure.mask
    assert (mask != by_size).mean() > 0.2, "another choice than magnitude's"
    np.testing.assert_array_equal(after.constants["first"].structure.mask, prune(trained, sparsity=0.5).constants["first"].structure.mask)
    assert any(line.where == "conv" and "no training moved them" in line.detail for line in ctx.lines)
    again = prune(after, ctx, sparsity=0.8, importance="movement").constants["last"].structure.mask
    assert not (again & ~mask).any(), "what was pruned stays pruned"
    with pytest.raises(RecipeError, match="before training"):
        prune(trained, importance="movement")


def test_movement_is_what_the_steps_of_training_sum_up_to():
    """Against the paper's own sum over the steps of gradient descent."""
    came = network()
    weight, goal = came.array("last").astype(np.float64), np.random.default_rng(0).normal(size=(10, 16))
    total = np.zeros((10, 16))
    for _ in range(2000):
        gradient = weight - goal
        total -= 0.001 * gradient * weight
        weight -= 0.001 * gradient
    trained = rebuild(came, constants={"last": Constant(weight.astype(np.float32))})
    mask = prune(trained, Context(teacher=came), sparsity=0.5, importance="movement").constants["last"].structure.mask
    assert (mask != (total > np.median(total))).mean() < 0.02, "but for ties within the error of a step"


def test_refitting_keeps_the_mask():
    plain, fitted = (prune(network(), pattern="2:4", refit_layers=refit) for refit in (False, True))
    assert not np.array_equal(plain.array("first"), fitted.array("first"))
    assert not (fitted.array("first")[plain.array("first") == 0]).any()


def test_a_codebook_without_zero_is_left_alone():
    graph, ctx = network(), context()
    held = graph.constants["last"]
    book = np.unique(np.round(held.array)) + np.float32(0.5)
    near = book[np.abs(held.array[..., None] - book).argmin(-1)].astype(np.float32)
    graph = Graph(**{**vars(graph), "constants": {**graph.constants, "last": Constant(near, Structure(codebook=book))}})
    assert share(prune(graph, ctx), "last") == 0
    assert any("prune before clustering" in line.detail for line in ctx.lines)


@pytest.mark.parametrize("options", [{"pattern": "4:2"}, {"pattern": "half"}, {"sparsity": 1.0}, {"scope": "row"}, {"importance": "luck"}])
def test_options_that_mean_nothing(options: dict[str, object]):
    with pytest.raises(RecipeError) as caught:
        prune(network(), **options)
    assert caught.value.hint
