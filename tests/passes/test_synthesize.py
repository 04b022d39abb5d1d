"""Samples out of nothing but batch norm: their statistics, and what they are worth for calibration."""

from __future__ import annotations

import numpy as np
import pytest

import edgewright
from edgewright.data import Data
from edgewright.errors import DataError
from edgewright.ir.graph import Graph
from edgewright.ops import BatchNorm, Relu
from edgewright.ops.evaluate import evaluate
from edgewright.passes.synthesize import synthesize
from edgewright.report.accuracy import real_outputs
from tests.passes.check import Net

SHIFT, SIZE = 2.0, 5.0


def images(count: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Far from standard noise: what a network sees that was never told to normalize."""
    random = np.random.default_rng(seed)
    return np.asarray(SHIFT + SIZE * random.standard_normal((count, 8, 8, 3)), np.float32)


def normed() -> Graph:
    """Batch norms that hold the statistics of :func:`images`."""
    net = Net()
    rng = np.random.default_rng(0)
    y = net.enter("x", (None, 8, 8, 3))
    for name, channels in (("first", 8), ("second", 8)):
        y = net.conv(y, channels, name, kernel=3, padding=1)
        partial = net.finish([y])
        seen = evaluate(partial, [images(200, 0)])[0].reshape(-1, channels)
        arrays = (np.ones(channels), rng.normal(size=channels), seen.mean(0), seen.var(0))
        constants = [net.constant(f"{name}/norm{index}", array.astype(np.float32)) for index, array in enumerate(arrays)]
        y = net.apply(Relu(), [net.node(BatchNorm(), [y, *constants], name=f"{name}_norm")], f"{name}_relu")
    return net.finish([net.conv(y, 4, "last")])


def test_statistics_come_back() -> None:
    graph = normed()
    found = synthesize(graph, count=40, steps=60)
    assert found.inputs[0].shape == (40, 8, 8, 3) and found.inputs[0].dtype == np.float32
    np.testing.assert_array_equal(found.inputs[0], synthesize(graph, count=40, steps=60).inputs[0])
    seen = {}
    evaluate(graph, found.inputs, observe=lambda value, x: seen.update({value.name: x.reshape(-1, x.shape[-1]).clone()}), chunk=40)
    for name in ("first", "second"):
        mean, variance = graph.array(f"{name}/norm2"), graph.array(f"{name}/norm3")
        assert np.abs(seen[name].mean(0).numpy() - mean).max() < 0.4 * np.sqrt(variance.min())
        np.testing.assert_allclose(seen[name].var(0).numpy(), variance, rtol=0.35)


def test_calibration_is_worth_that_of_data() -> None:
    graph = normed()
    test = Data((images(50, 9),))
    (wanted,) = evaluate(graph, test.inputs)
    errors = {}
    for name, data in (("real", images(64, 1)), ("synthesized", "synthesized"), ("noise", images(64, 1) / 50)):
        result = edgewright.optimize(graph, data=data, formats=["c"])
        errors[name] = float(np.square(real_outputs(result.graph, test)[0] - wanted).mean())
    assert errors["synthesized"] < 3 * errors["real"] < 0.1 * errors["noise"]


def test_a_folded_network_has_forgotten() -> None:
    net = Net()
    graph = net.finish([net.conv(net.enter("x", (None, 4, 4, 2)), 3, "only")])
    with pytest.raises(DataError, match="has no batch norm"):
        edgewright.optimize(graph, data="synthesized")
