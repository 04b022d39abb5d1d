from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from edgewright.analysis.intervals import Interval, Intervals
from edgewright.analysis.known import known_elements
from edgewright.ir.dtype import Quant
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level, Value
from edgewright.ir.operator import Operator
from edgewright.ops import Add, Conv2D, HardSwish, Mul, PRelu, Softmax, Sub
from edgewright.ops.evaluate import constant_tensors, evaluate
from tests.passes.check import Net, apply, random_inputs, shape
from tests.passes.clean.test_random_networks import RandomNet


def intervals(graph: Graph) -> dict[str, Interval]:
    found = Intervals(graph, constant_tensors(graph))
    with torch.inference_mode():
        for node in graph.nodes:
            found.advance(node)
    return {name: found.of(name) for name in graph.values if graph.value(name).dtype.is_integer}


def contained(graph: Graph) -> None:
    """No value of any sample leaves its interval."""
    found = intervals(graph)

    def look(value: Value, x: Tensor) -> None:
        low, high = found[value.name]
        assert bool((low <= x).all()) and bool((x <= high).all()), value.name

    evaluate(graph, random_inputs(graph, samples=40), observe=look)


@pytest.mark.parametrize("seed", range(12))
def test_no_value_leaves_its_interval(seed: int) -> None:
    contained(RandomNet(Level.INTEGER, 100 + seed).end())


def test_operators_that_are_not_monotone() -> None:
    net = Net(Level.INTEGER)
    x = net.enter("x", (None, 4, 4, 3))
    y = net.conv(x, 3, "conv", activation="relu6")
    values = [net.apply(Sub(), [x, y], "difference", net.quant(0.1, 4)), net.apply(Mul(), [x, y], "product", net.quant(0.2, 4)),
              net.apply(HardSwish(), [x], "swish"), net.apply(Softmax(), [y], "softmax", Quant.per_tensor(1 / 256, -128)),
              net.apply(PRelu(), [x, net.constant("alpha", net.numbers(3), quant=net.quant())], "prelu")]
    contained(net.finish(values))


def test_monotone_operators_are() -> None:
    """What an operator says of itself, tried on neighbouring integers."""
    monotone = [kind for kind in Operator.REGISTRY.values() if kind.monotone and kind.__module__.startswith("edgewright.ops")]
    assert {kind.__name__ for kind in monotone} >= {"Add", "Mean"}
    for kind in monotone:
        net = Net(Level.INTEGER)
        quants = [net.quant(0.03 + 0.05 * index, 7 * index) for index in range(kind.inputs_range[0])]
        inputs = [net.enter(f"x{index}", (None, 3, 3, 2), quant) for index, quant in enumerate(quants)]
        graph = net.finish([net.apply(kind(), inputs, "y", net.quant(0.07, -20))])
        for seed in range(5):
            arrays = random_inputs(graph, samples=30, seed=seed)
            higher = [np.minimum(array.astype(np.int16) + (net.rng.random(array.shape) < 0.3), 127).astype(np.int8) for array in arrays]
            assert (evaluate(graph, higher)[0] >= evaluate(graph, arrays)[0]).all(), kind


def saturated(bias: int, activation: str = "relu") -> Graph:
    """A layer of which channel 2 has small weights and ``bias``, and one that reads it."""
    net = Net(Level.INTEGER)
    y = net.conv(net.enter("x", (None, 5, 5, 3)), 4, "first", kernel=3, padding=1, activation=activation)
    graph = net.finish([net.conv(y, 3, "last")])
    weight, biases = graph.array("first/weight").copy(), graph.array("first/bias").copy()
    weight[2] = net.rng.integers(-2, 3, weight[2].shape)
    biases[2] = bias
    return rebuild(graph, constants={"first/weight": Constant(weight), "first/bias": Constant(biases)})


@pytest.mark.parametrize("bias", [-20_000, 2_000_000])
def test_a_channel_that_is_always_clamped_is_constant(bias: int) -> None:
    graph = saturated(bias)
    known = known_elements(graph)["first"]
    assert known.slabs(3).tolist() == [False, False, True, False]
    assert set(known.array[..., 2].reshape(-1).tolist()) == {3 if bias < 0 else 127}
    after, ctx = apply("remove_dead_channels", graph)
    assert shape(after, "first/weight")[0] == 3 and ctx.lines[0].detail == "1 of 4 channels removed: 1 constant, 0 unread"


def test_a_channel_whose_sums_round_to_one_integer_is_constant() -> None:
    net = Net(Level.INTEGER)
    x = net.enter("x", (None, 5, 5, 3))
    y = net.layer(Conv2D(), x, "first", np.full((2, 1, 1, 3), 1, np.int8), np.array([0, 40_000], np.int32), quant=net.quant(8.0, 0))
    graph = net.finish([net.conv(y, 3, "last")])
    assert known_elements(graph)["first"].slabs(3).all()
    after, _ = apply("remove_dead_channels", graph)
    assert shape(after, "first/weight")[0] == 1


def test_a_channel_that_just_leaves_the_clamp_is_not() -> None:
    assert "first" not in known_elements(saturated(0)) and "first" not in known_elements(saturated(-4_000, "none"))


def test_a_layer_without_bias() -> None:
    net = Net(Level.INTEGER)
    x = net.enter("x", (None, 5, 5, 3), Quant.per_tensor(0.05, -128))
    weight = net.rng.integers(1, 128, (4, 1, 1, 3)).astype(np.int8)
    weight[1] = -weight[1]
    y = net.layer(Conv2D(activation="relu"), x, "first", weight)
    graph = net.finish([net.conv(y, 3, "last")])
    contained(graph)
    assert known_elements(graph)["first"].slabs(3).tolist() == [False, True, False, False]
    assert shape(apply("remove_dead_channels", graph)[0], "first/weight")[0] == 3


def test_factors_above_one_are_not_trusted() -> None:
    """There the sums are shifted to the left first, and might overflow 32 bits."""
    graph = saturated(-20_000)
    fine = dataclasses.replace(graph.value("first"), quant=Quant.per_tensor(0.0001, 3))
    graph = rebuild(graph, values=[fine])
    assert "first" not in known_elements(graph)
    contained(graph)


def test_additions_of_what_is_clamped() -> None:
    net = Net(Level.INTEGER)
    x = net.enter("x", (None, 4, 4, 3))
    branches = [net.conv(x, 2, name, activation="relu6") for name in "ab"]
    y = net.apply(Add("relu"), branches, "sum", net.quant(0.1, -128))
    found = intervals(net.finish([y]))
    assert int(found["sum"][0].min()) == -128 and int(found["sum"][1].max()) == -128 + 120
