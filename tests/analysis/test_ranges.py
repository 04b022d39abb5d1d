"""Ranges from calibration data."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.analysis.ranges import METHODS, calibrate, union, within
from edgewright.data import Data
from edgewright.ir.dtype import DType
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph
from edgewright.ops.add import Add
from edgewright.ops.mul import Mul
from edgewright.ops.relu import Relu
from edgewright.ops.requant import affine_quant
from edgewright.ops.reshape import Reshape
from edgewright.ops.softmax import Softmax


def relu() -> Graph:
    b = GraphBuilder("net")
    return b.finish([b.node(Relu(), [b.input("x", (None, 1000))], name="y")])


def calibrated(x: NDArray[np.floating], method: str, percentile: float = 99.99) -> dict[str, tuple[float, float]]:
    return calibrate(relu(), Data((x.astype(np.float32),)), method=method, percentile=percentile, dtype=DType.INT8)


def test_minmax_is_the_extremes_over_all_chunks() -> None:
    x = np.zeros((200, 1000))
    x[3, 5], x[190, 7] = -4.0, 9.0
    assert calibrated(x, "minmax") == {"x": (-4.0, 9.0), "y": (0.0, 9.0)}


def test_percentile_keeps_the_middle() -> None:
    x = np.linspace(-1.0, 1.0, 100_000).reshape(100, 1000)
    low, high = calibrated(x, "percentile", 98.0)["x"]
    assert low == pytest.approx(-0.98, abs=1e-3) and high == pytest.approx(0.98, abs=1e-3)
    assert calibrated(x, "percentile", 100.0)["x"] == (-1.0, 1.0)


def test_percentile_leaves_outliers_outside() -> None:
    x = np.random.default_rng(0).standard_normal((100, 1000))
    x[0, 0] = 500.0
    assert calibrated(x, "minmax")["x"][1] == 500.0
    assert 3.0 < calibrated(x, "percentile", 99.9)["x"][1] < 4.5


def test_least_squared_error_beats_the_extremes() -> None:
    for dtype, gain in ((DType.INT8, 1.0), (DType.INT4, 2.0)):
        x = np.random.default_rng(0).standard_t(5, (100, 1000)).astype(np.float32)
        errors = {}
        for method in ("minmax", "mse"):
            found = calibrate(relu(), Data((x,)), method=method, percentile=99.9, dtype=dtype)
            quant = affine_quant(*found["x"], dtype)
            errors[method] = float(np.mean((quant.to_real(quant.to_integer(x)) - x) ** 2))
        assert errors["mse"] < errors["minmax"] / gain


def test_octav_is_the_clipping_of_least_noise() -> None:
    """Beside a search over every clipping of the same numbers."""
    random = np.random.default_rng(0)
    for x, dtype in ((random.laplace(size=(100, 1000)), DType.INT4), (random.exponential(size=(100, 1000)), DType.INT4)):
        x = x.astype(np.float32)
        found = calibrate(relu(), Data((x,)), method="octav", percentile=99.9, dtype=dtype)["x"]
        step = 2 * 2.0**-4 if x.min() < 0 else 2.0**-4

        def noise(clip: float, x: NDArray[np.floating] = x, step: float = step) -> float:
            over = np.maximum(np.abs(x) - clip, 0)
            return float((over**2).mean() + (clip * step) ** 2 / 12 * (over == 0).mean())

        clips = np.linspace(0.5, 12, 400)
        best = clips[np.argmin([noise(clip) for clip in clips])]
        assert found[1] == pytest.approx(best, rel=0.05)
        assert found[0] == pytest.approx(-best if x.min() < 0 else 0.0, rel=0.05, abs=1e-3)


def test_divergence_leaves_outliers_outside_and_the_bulk_inside() -> None:
    x = np.random.default_rng(0).standard_normal((100, 1000))
    x[0, 0] = 50.0
    low, high = calibrated(x, "kl")["x"]
    assert 2.0 < high < 10.0 and -10.0 < low < -2.0


def test_an_even_distribution_is_not_clipped() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (100, 1000))
    low, high = calibrated(x, "mse")["x"]
    assert low == pytest.approx(-1.0, abs=0.01) and high == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_a_value_that_never_changes(method: str) -> None:
    assert calibrated(np.full((2, 1000), 2.5), method) == {"x": (2.5, 2.5), "y": (2.5, 2.5)}


def test_arithmetic_of_ranges() -> None:
    assert union([(-1.0, 2.0), (0.0, 5.0)]) == (-1.0, 5.0)
    assert within((-4.0, 0.5), (-1.0, 1.0)) == (-1.0, 0.5)
    assert within((3.0, 4.0), (-1.0, 1.0)) == (1.0, 1.0)


@pytest.mark.parametrize("far", [-10000.0, -3e38])
def test_what_a_softmax_does_not_hear_takes_no_part_of_the_range(far: float) -> None:
    """A mask that is added to scores saturates, and the scores keep their resolution."""
    build = GraphBuilder("masked")
    scores, mask = build.input("scores", (None, 2, 3)), build.input("mask", (None, 1, 3))
    away = build.node(Mul(), [mask, build.constant("far", np.array([far], np.float32))], name="away")
    total = build.node(Add(), [scores, build.node(Reshape((None, 1, 3)), [away], name="moved")], name="total")
    graph = build.finish([build.node(Softmax(), [total], name="softmax")])
    rng = np.random.default_rng(0)
    data = Data((rng.uniform(-3, 5, (50, 2, 3)).astype(np.float32), np.repeat(np.array([[[0, 0, 1]]], np.float32), 50, 0)))
    found = calibrate(graph, data, method="minmax", percentile=99.99, dtype=DType.INT8)
    assert -20 < found["total"][0] < -10 and found["total"][1] > 4
    assert min(found["away"][0], found["moved"][0]) == pytest.approx(found["total"][0] - found["scores"][1])
    assert found["scores"] == pytest.approx((data.inputs[0].min(), data.inputs[0].max()))
