"""The front of mixed precision: real figures of real networks, the undominated marked, and the smallest within a drop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgewright.cli import app
from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ir.serial import save_graph
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.search.precision import precision_front
from edgewright.targets.target import load_target
from tests.passes.quantize.test_round_weights import network, pictures


def test_every_point_is_measured_and_the_front_is_one() -> None:
    load_passes()
    graph = network()
    inputs = pictures(200, seed=5)
    labels = np.asarray(evaluate(graph, [inputs])[0].argmax(1), np.int64)
    data, test = Data((pictures(64),)), Data((inputs,), labels)
    points = precision_front(graph, load_target("cortex-m4"), data=data, test=test, shares=(0.5, 0.75), drop=0.05)
    names = {point.name for point in points}
    assert {"uniform, 2 bits", "uniform, 4 bits", "uniform, 8 bits", "mixed, 75%"} <= names
    assert [point.weight_bytes for point in points] == sorted(point.weight_bytes for point in points)
    eight = next(point for point in points if point.name == "uniform, 8 bits")
    sizes = {name: graph.array(f"{name}/weight").size for name in eight.bits}
    for point in points:
        assert point.weight_bytes == sum((sizes[name] * bits + 7) // 8 for name, bits in point.bits.items())
        assert point.accuracy == point.agreement
        assert point.wide or point.costs["arena_bytes"] == eight.costs["arena_bytes"]
        assert point.costs["arena_bytes"] >= eight.costs["arena_bytes"] and point.costs["flash_bytes"] > point.weight_bytes
        assert point.undominated is not any(other.beats(point) for other in points)
    wide = next(point for point in points if point.name == "uniform, int16 activations")
    assert len(wide.wide) == len(graph.nodes) and wide.bits == eight.bits and wide.loss < eight.loss
    few = [point for point in points if "int16 within" in point.name]
    assert few and all(point.wide and point.time <= wide.time for point in few if point.bits == wide.bits)
    assert eight.accuracy is not None and eight.accuracy > 0.95
    holding = [point for point in points if point.figure >= 0.95]
    assert [point for point in points if point.chosen] == holding[:1]


def test_a_regression_is_judged_by_its_targets() -> None:
    graph, inputs = network(), pictures(60, seed=5)
    data, test = Data((pictures(64),)), Data((inputs,), targets=evaluate(graph, [inputs])[0])
    points = precision_front(graph, load_target("host"), data=data, test=test, widths="2,8", shares=(1.0,), activations="8", drop=0.05)
    small, large = points
    assert small.accuracy is small.agreement is None and small.r2 is not None and large.r2 is not None
    assert small.r2 < 0.95 < large.r2 == large.figure and large.chosen


def test_senseless_shares_are_refused() -> None:
    data = Data((pictures(8),))
    with pytest.raises(RecipeError, match="shares are"):
        precision_front(network(), load_target("host"), data=data, test=data, shares=(0.0,))


def test_the_verb(tmp_path: Path) -> None:
    save_graph(network(), tmp_path / "net.npz")
    np.save(tmp_path / "data.npy", pictures(32))
    arguments = ["precision", str(tmp_path / "net.npz"), "--data", str(tmp_path / "data.npy"), "--widths", "4,8", "--drop", "5"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    points = json.loads(result.stdout)
    assert points and all(set(point["bits"].values()) <= {4, 8} for point in points)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and "Within 5 points" in result.output and "bytes of weights" in result.output
    result = CliRunner().invoke(app, [*arguments, "--activations", "8", "--json"])
    assert result.exit_code == 0 and not any(point["wide"] for point in json.loads(result.stdout))
    result = CliRunner().invoke(app, [*arguments, "--activations", "4"])
    assert isinstance(result.exception, RecipeError) and "activations are '4'" in result.exception.message
