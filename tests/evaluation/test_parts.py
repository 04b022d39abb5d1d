"""Folds, slices, corruptions and simulated outputs."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.data import Data
from edgewright.errors import DataError, RecipeError
from edgewright.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt, kind_of
from edgewright.evaluation.folds import cross_validate, folds
from edgewright.evaluation.metrics import METRICS
from edgewright.evaluation.outputs import real_outputs, simulated
from edgewright.evaluation.slices import slices
from edgewright.ir.graph import Level
from tests.zoo import ZOO, quantize_zoo, zoo_inputs

RNG = np.random.default_rng(0)


def test_groups_are_never_torn_apart() -> None:
    data = Data((np.zeros((120, 4), np.float32),), np.tile(np.arange(3), 40), groups=np.repeat(np.arange(12), 10).astype(str))
    seen = []
    for kept, held in folds(data, 4):
        assert data.groups is not None and not {*data.groups[kept]} & {*data.groups[held]}
        assert np.bincount(data.take(held).labels).min() > 0
        seen += held.tolist()
    assert sorted(seen) == list(range(120))


def test_folds_are_balanced_and_reproducible() -> None:
    data = Data((np.zeros((60, 4), np.float32),), np.tile(np.arange(3), 20))
    first, second = list(folds(data, 5, seed=1)), list(folds(data, 5, seed=1))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, second, strict=True))
    assert all(np.bincount(data.take(held).labels).tolist() == [4, 4, 4] for _, held in first)
    with pytest.raises(DataError, match="61 folds of 60 samples"):
        list(folds(data, 61))


def test_cross_validation_judges_what_was_made_without_the_fold() -> None:
    graph = ZOO["separable_keyword_spotter"]()
    (x,) = zoo_inputs(graph, 30)
    data = Data((np.asarray(x, np.float32),), np.arange(30) % 5)
    counts = []

    def make(kept: Data):
        counts.append(kept.count)
        return graph

    found = cross_validate(make, data, METRICS["accuracy"], count=3)
    assert counts == [20, 20, 20] and np.isclose(found.mean, METRICS["accuracy"].of(real_outputs(graph, data)[0], data.labels))


def test_the_worst_slice_comes_first_and_small_ones_are_no_evidence() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 4])
    before = np.eye(3, dtype=np.float32)[labels]
    after = before.copy()
    after[50:65] = [1, 0, 0]
    rows = slices(METRICS["accuracy"], before, after, labels, labels)
    assert [(row.name, row.samples, row.after) for row in rows] == [("1", 30, 0.5), ("0", 50, 1.0)]
    assert rows[0].interval is not None and rows[0].interval[1] < -0.3 and rows[0].change == -0.5


SAMPLES = {
    "image": RNG.uniform(0, 255, (6, 16, 16, 3)).round().astype(np.float32),
    "features": RNG.normal(0, 1, (6, 40, 13, 1)).cumsum(axis=1).astype(np.float32),
    "series": RNG.normal(0, 1, (6, 90, 3)).astype(np.float32),
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in CORRUPTIONS.items() for name in names])
def test_corruptions_grow_with_severity_and_repeat(kind: str, name: str) -> None:
    data = Data((SAMPLES[kind],), np.arange(6))
    changed = [corrupt(data, kind, name, severity).inputs[0] for severity in SEVERITIES]
    sizes = [float(np.mean((x - data.inputs[0]) ** 2)) for x in changed]
    assert all(x.shape == data.inputs[0].shape and x.dtype == np.float32 and np.isfinite(x).all() for x in changed)
    assert sizes[0] > 0 and sizes[4] > 1.5 * sizes[0] and np.all(np.diff(sizes[::2]) > 0)
    assert np.array_equal(changed[2], corrupt(data, kind, name, 3).inputs[0])
    if kind == "image":
        assert all(x.min() >= data.inputs[0].min() and x.max() <= data.inputs[0].max() for x in changed)


def test_kinds_are_told_apart() -> None:
    assert {kind: kind_of(Data((x,))) for kind, x in SAMPLES.items()} == {kind: kind for kind in SAMPLES}
    assert kind_of(Data((RNG.uniform(0, 1, (3, 28, 28, 1)).astype(np.float32),))) == "image"
    with pytest.raises(RecipeError, match="no corruption 'rain'"):
        corrupt(Data((SAMPLES["image"],)), "image", "rain", 1)


def test_simulation_is_near_the_integers() -> None:
    graph = ZOO["separable_keyword_spotter"]()
    integer = quantize_zoo(graph)
    again = simulated(integer)
    data = Data(tuple(np.asarray(x, np.float32) for x in zoo_inputs(graph, 20)))
    exact, near = real_outputs(integer, data)[0], real_outputs(again, data)[0]
    quant = integer.value(integer.outputs[0]).quant
    assert again.level is Level.QUANTIZED and simulated(graph) is graph and quant is not None
    assert np.abs(exact - near).max() <= 3 * quant.scale[0]
