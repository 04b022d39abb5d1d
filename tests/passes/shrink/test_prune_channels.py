from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgewright.analysis.channels import channel_groups
from edgewright.analysis.linear import input_channels, linear
from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level, Structure
from edgewright.ir.verify import verify
from edgewright.ops import Add, BatchNorm, Concat, Conv2D, Mean, Mul, Relu, Reshape, Sigmoid, Slice, Softmax, Transpose
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import evaluate
from edgewright.passes.registry import Context
from edgewright.passes.shrink.prune_channels import prune_channels
from edgewright.passes.surgery.importance import MEASURES
from edgewright.targets.target import load_target
from tests.passes.check import Net, random_inputs, shape
from tests.passes.clean.test_random_networks import RandomNet


def context(graph: Graph, labels: bool = False, samples: int = 64) -> Context:
    inputs = tuple(np.asarray(array, np.float32) for array in random_inputs(graph, samples, seed=7))
    return Context(data=Data(inputs, np.arange(samples) % 3 if labels else None))


def masked(graph: Graph, after: Graph) -> Graph:
    """``graph`` with zero weights wherever a channel is read that ``after`` lacks: biases, all different, tell which those are."""
    groups = channel_groups(graph)
    gone: set[int] = set()
    for node in graph.nodes:
        part = linear(graph, node)
        if part is not None and part.bias is not None:
            kept = np.isin(graph.array(part.bias), after.array(part.bias))
            gone |= set(groups.labels[part.weight, 0][~kept].tolist())
    assert gone, "nothing was removed"
    constants = {}
    for node in graph.nodes:
        part = linear(graph, node)
        meeting = None if part is None else input_channels(graph, part)
        if part is None or meeting is None:
            continue
        axis, pairs = meeting
        data = groups.labels[part.data, graph.value(part.data).rank - 1]
        weight = np.moveaxis(graph.array(part.weight).copy(), axis, 0)
        if axis:
            weight[pairs[np.isin(data[pairs[:, 0]], list(gone)), 1]] = 0
        constants[part.weight] = Constant(np.moveaxis(weight, 0, axis))
    return rebuild(graph, constants=constants)


def same_as_masked(graph: Graph, **options: object) -> Graph:
    ctx = context(graph)
    after = prune_channels(graph, ctx, refit_layers=False, **options)
    if after is graph:
        assert any(line.action == "skipped" for line in ctx.lines)
        return after
    for before, now in zip(*(evaluate(g, random_inputs(g)) for g in (masked(graph, after), after)), strict=True):
        np.testing.assert_allclose(now, before, rtol=2e-5, atol=2e-5 * max(1.0, float(np.abs(before).max())))
    return after


def residual(net: Net, x: str) -> str:
    y = net.conv(x, 8, "stem", 3, 1, "relu")
    z = net.conv(net.conv(y, 12, "a", 3, 1, "relu"), 8, "b", 3, 1)
    return net.apply(Relu(), [net.apply(Add(), [y, z], "sum")], "relu")


def concatenation(net: Net, x: str) -> str:
    a, b = net.conv(x, 6, "a", activation="relu"), net.conv(x, 10, "b", activation="relu")
    return net.conv(net.apply(Concat(3), [a, net.conv(b, 4, "c"), b], "join"), 8, "last", activation="relu")


def depthwise(net: Net, x: str) -> str:
    y = net.depthwise(net.conv(x, 8, "expand", activation="relu6"), "spatial", 3, 1, multiplier=2, activation="relu6")
    return net.conv(y, 6, "project")


def grouped(net: Net, x: str) -> str:
    y = net.conv(x, 12, "before", activation="relu")
    y = net.layer(Conv2D(groups=6, activation="relu"), y, "grouped", net.numbers(18, 1, 1, 2), net.biases(18))
    return net.conv(y, 8, "after", activation="relu")


def shuffled(net: Net, x: str) -> str:
    y = net.conv(x, 16, "stem", activation="relu")
    left = net.apply(Slice((0, 0, 0, 0), (None, 4, 4, 8), (1, 1, 1, 1)), [y], "left")
    right = net.apply(Slice((0, 0, 0, 8), (None, 4, 4, 8), (1, 1, 1, 1)), [y], "right")
    y = net.apply(Concat(3), [left, net.conv(right, 8, "mix", activation="relu")], "join")
    y = net.apply(Transpose((0, 1, 2, 4, 3)), [net.apply(Reshape((None, 4, 4, 2, 8)), [y], "split")], "swap")
    return net.conv(net.apply(Reshape((None, 4, 4, 16)), [y], "merge"), 6, "last")


def pixel_shuffled(net: Net, x: str) -> str:
    """Space to depth and back, as exporters write it."""
    y = net.conv(x, 8, "stem", activation="relu")
    y = net.apply(Transpose((0, 1, 3, 2, 4, 5)), [net.apply(Reshape((None, 2, 2, 2, 2, 8)), [y], "blocks")], "swap")
    y = net.conv(net.apply(Reshape((None, 2, 2, 32)), [y], "deep"), 24, "mix", activation="relu")
    y = net.apply(Transpose((0, 1, 3, 2, 4, 5)), [net.apply(Reshape((None, 2, 2, 2, 2, 6)), [y], "apart")], "back")
    return net.conv(net.apply(Reshape((None, 4, 4, 6)), [y], "wide"), 5, "last")


def squeezed(net: Net, x: str) -> str:
    y = net.conv(x, 12, "stem", activation="relu")
    gate = net.conv(net.conv(net.apply(Mean((1, 2), keep_dims=True), [y], "pool"), 6, "squeeze", activation="relu"), 12, "excite")
    return net.apply(Mul(), [y, net.apply(Sigmoid(), [gate], "gate")], "scaled")


def normed(net: Net, x: str) -> str:
    y = net.conv(x, 12, "stem", 3, 1)
    parts = [net.constant(f"norm/{part}", np.abs(net.numbers(12))) for part in ("scale", "offset", "mean", "variance")]
    return net.apply(Relu(), [net.node(BatchNorm(), [y, *parts], name="norm")], "relu")


BODIES = [residual, concatenation, depthwise, grouped, shuffled, pixel_shuffled, squeezed, normed]


def network(body: Callable[[Net, str], str], flat: bool = True) -> Graph:
    """``body`` with its flattened axes, or their mean, before a dense layer."""
    net = Net(seed=3)
    y = body(net, net.enter("x", (None, 4, 4, 3)))
    y = net.apply(Reshape((None, net.value(y).elements)), [y], "flat") if flat else net.apply(Mean((1, 2)), [y], "mean")
    return verify(net.finish([net.apply(Softmax(), [net.dense(y, 3, "head")], "softmax")]))


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
@pytest.mark.parametrize("scope", ["local", "global"])
def test_the_pruned_network_is_the_masked_one(body: Callable[[Net, str], str], scope: str) -> None:
    graph = network(body)
    after = same_as_masked(graph, importance="l2", scope=scope, multiple=1)
    assert after is not graph and cost(after).macs <= 0.5 * cost(graph).macs


@pytest.mark.parametrize("seed", range(20))
def test_a_random_network_pruned_is_the_masked_one(seed: int) -> None:
    same_as_masked(RandomNet(Level.FLOAT, 100 + seed).end(), importance="l1", scope="global", budget=0.6, multiple=1 + seed % 2)


@pytest.mark.parametrize("measure", MEASURES)
def test_unread_channels_matter_least(measure: str) -> None:
    """Half of the channels of each layer have no weights that make them and none that read them: those go, and nothing changes."""
    graph = network(normed, flat=False)
    dead = [1, 2, 5, 7, 8, 11]
    stem, head, scale = (graph.array(name).copy() for name in ("stem/weight", "head/weight", "norm/scale"))
    stem[dead] = 0
    head[:, dead] = 0
    scale[dead] = 0
    offset = graph.array("norm/offset").copy()
    offset[dead] = 0
    arrays = {"stem/weight": stem, "head/weight": head, "norm/scale": scale, "norm/offset": offset}
    graph = rebuild(graph, constants={name: Constant(array) for name, array in arrays.items()})
    after = prune_channels(graph, context(graph, labels=True), budget=0.5, importance=measure, multiple=1, refit_layers=False)
    assert shape(after, "stem/weight")[0] == 6
    np.testing.assert_allclose(evaluate(after, random_inputs(after))[0], evaluate(graph, random_inputs(graph))[0], atol=1e-6)


def test_reconstruction_removes_one_of_two_that_are_alike() -> None:
    """Two channels that are the same have the largest weights: one of them is worth nothing, and refitting makes up for it exactly."""
    graph = network(normed, flat=False)
    arrays = {}
    for name in ("stem/weight", "stem/bias", "norm/scale", "norm/offset", "norm/mean", "norm/variance"):
        array = graph.array(name).copy()
        array[6:] = array[:6]
        arrays[name] = Constant(array)
    graph = rebuild(graph, constants=arrays)
    ctx = context(graph, samples=256)
    after = prune_channels(graph, ctx, importance="reconstruction", multiple=1)
    labels = np.isin(graph.array("stem/bias")[:6], after.array("stem/bias"))
    assert labels.all() and shape(after, "stem/weight")[0] == 6
    np.testing.assert_allclose(evaluate(after, random_inputs(after))[0], evaluate(graph, random_inputs(graph))[0], atol=2e-2)


@pytest.mark.parametrize("body", [residual, depthwise, concatenation], ids=lambda body: body.__name__)
def test_refitting_brings_outputs_back(body: Callable[[Net, str], str]) -> None:
    graph = network(body, flat=False)
    fresh = random_inputs(graph, 64, seed=11)
    logits = rebuild(graph, outputs=["head"])
    errors = []
    for refitted in (False, True):
        after = prune_channels(logits, context(logits, samples=256), importance="l2", multiple=1, budget=0.7, refit_layers=refitted)
        errors.append(float(np.square(evaluate(after, fresh)[0] - evaluate(logits, fresh)[0]).mean()))
    assert errors[1] < 0.5 * errors[0]


def test_refitting_keeps_structures() -> None:
    graph = network(residual)
    mask = np.random.default_rng(0).random(graph.array("b/weight").shape) < 0.5
    pruned = (graph.array("b/weight") * mask).astype(np.float32)
    codebook = np.array([-1.0, 0.0, 1.0], np.float32)
    coded = np.sign(graph.array("head/weight")).astype(np.float32)
    structures = {"b/weight": Constant(pruned, Structure(mask)), "head/weight": Constant(coded, Structure(codebook=codebook))}
    graph = rebuild(graph, constants=structures)
    after = prune_channels(graph, context(graph), importance="l2", multiple=1)
    first, second = after.constants["b/weight"], after.constants["head/weight"]
    assert first.structure is not None and first.structure.mask is not None and first.structure.mask.shape == first.array.shape
    assert not first.array[~first.structure.mask].any() and not np.isin(first.array, pruned).all()
    assert second.structure is not None and second.structure.codebook is not None and set(np.unique(second.array)) <= {-1.0, 0.0, 1.0}
    assert not np.array_equal(after.array("head/bias"), graph.array("head/bias"))


def test_a_pattern_keeps_its_inputs() -> None:
    graph = network(residual)
    array = graph.array("b/weight").copy()
    array.reshape(8, 9, 3, 4)[..., 2:] = 0
    graph = rebuild(graph, constants={"b/weight": Constant(array, Structure(pattern=(2, 4)))})
    ctx = context(graph)
    after = prune_channels(graph, ctx, importance="l2", multiple=1, budget=0.8)
    structure = after.constants["b/weight"].structure
    assert shape(after, "b/weight")[3] == 12 and structure is not None and structure.pattern == (2, 4)
    assert any("2 of 4" in line.detail for line in ctx.lines)


def test_counts_are_what_the_target_likes() -> None:
    graph = network(residual)
    ctx = context(graph)
    ctx.target = load_target("cortex-m4")
    after = prune_channels(graph, ctx, importance="l2")
    counts = [shape(after, f"{name}/weight")[0] or 0 for name in ("stem", "a", "b")]
    assert ctx.target.channel_multiple == 4 and all(count % 4 == 0 for count in counts) and sum(counts) < 28
    counts = [shape(prune_channels(graph, ctx, importance="l2", multiple=6), f"{name}/weight")[0] for name in ("stem", "a", "b")]
    assert counts[1] in (6, 12) and counts[0] == counts[2] in (6, 8)


@pytest.mark.parametrize("name", ["parameters", "rows"])
def test_a_budget_of_any_cost(name: str) -> None:
    """A share, or a figure; one's own function too."""
    graph = network(residual)
    ctx = context(graph)
    ctx.costs["rows"] = lambda graph: float(sum(graph.value(node.inputs[1]).shape[0] or 0 for node in graph.nodes if len(node.inputs) == 3))
    prices = {"parameters": lambda graph: cost(graph).parameters, "rows": ctx.costs["rows"]}
    for budget, most in ((0.6, 0.6 * prices[name](graph)), (20.0 if name == "rows" else 900.0, 20.0 if name == "rows" else 900.0)):
        after = prune_channels(graph, ctx, importance="l1", cost=name, budget=budget, multiple=1)
        assert 0.6 * most <= prices[name](after) <= most


def test_what_is_within_the_budget_stays() -> None:
    graph = network(residual)
    ctx = context(graph)
    assert prune_channels(graph, ctx, budget=1e9) is graph and "already" in ctx.lines[-1].detail


def test_a_budget_out_of_reach_is_told() -> None:
    graph = network(residual)
    ctx = context(graph)
    after = prune_channels(graph, ctx, budget=0.001, importance="l1", refit_layers=False)
    assert after is not graph and "do not fall" in ctx.lines[-1].detail
    evaluate(after, random_inputs(after))


def test_nothing_to_prune() -> None:
    net = Net()
    graph = net.finish([net.conv(net.enter("x", (None, 4, 4, 3)), 4, "only")])
    ctx = context(graph)
    assert prune_channels(graph, ctx, importance="l1") is graph and "no channel can leave" in ctx.lines[-1].detail


@pytest.mark.parametrize(("options", "said"), [
    ({"cost": "joy"}, "nothing is known of the cost 'joy'"),
    ({"importance": "looks"}, "unknown measure of importance 'looks'"),
    ({"importance": "batchnorm"}, "has no batch norm"),
    ({"scope": "here"}, "scope 'here'"),
    ({"budget": 0.0}, "budget 0.0"),
    ({"multiple": -1}, "multiple -1"),
])
def test_bad_options(options: dict[str, object], said: str) -> None:
    graph = network(residual)
    with pytest.raises(RecipeError, match=said) as caught:
        prune_channels(graph, context(graph), **options)
    assert caught.value.hint
