"""Layers as matrix products, and the moments of what they are fed with, against the operators themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.analysis.columns import as_matrices, columns, product
from edgewright.analysis.linear import linear
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.operator import Operator
from edgewright.ops import Conv2D, Dense, DepthwiseConv2D
from edgewright.passes import side_by_side
from edgewright.passes.side_by_side import moments

CASES = [
    (Conv2D(stride=(2, 1), padding=((1, 2), (0, 1)), dilation=(1, 2)), (7, 9, 6), (5, 3, 2, 6)),
    (Conv2D(groups=3, padding=((1, 1), (1, 1))), (6, 5, 6), (9, 3, 3, 2)),
    (DepthwiseConv2D(multiplier=2, stride=(1, 2), padding=((0, 1), (1, 1))), (6, 7, 4), (8, 3, 3, 1)),
    (Dense(), (2, 3, 5), (4, 5)),
]


@pytest.mark.parametrize(("op", "data", "weight"), CASES, ids=lambda case: case.kind if isinstance(case, Operator) else None)
def test_columns_times_matrices_are_the_layer(op: Operator, data: tuple[int, ...], weight: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    builder = GraphBuilder("net")
    x = builder.input("x", (None, *data))
    numbers = random.standard_normal(weight).astype(np.float32)
    graph = builder.finish([builder.node(op, [x, builder.constant("w", numbers)], name="layer")])
    part = linear(graph, graph.nodes[0])
    assert part is not None
    inputs = torch.from_numpy(random.standard_normal((3, *data)).astype(np.float32))
    found = columns(graph, part, inputs)
    assert found is not None
    (expected,) = op.evaluate([inputs, torch.from_numpy(numbers)])
    sums = product(as_matrices(torch.from_numpy(numbers), data[-1]), found)
    np.testing.assert_allclose(sums.numpy(), expected.reshape(-1, weight[0]).numpy(), atol=1e-4)

    seen = moments(graph, part, 2 * inputs, inputs)
    assert seen is not None and seen.positions == len(found)
    for group in range(found.shape[1]):
        plain = found[:, group].double().numpy()
        np.testing.assert_allclose(seen.mean[group], plain.mean(0), atol=1e-5)
        np.testing.assert_allclose(seen.float_mean[group], 2 * plain.mean(0), atol=1e-5)
        np.testing.assert_allclose(seen.second[group], np.cov(plain.T, bias=True), atol=1e-4)
        np.testing.assert_allclose(seen.crossed[group], 2 * np.cov(plain.T, bias=True), atol=1e-4)


def test_positions_are_spread_evenly_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = GraphBuilder("net")
    x = builder.input("x", (None, 6, 6, 3))
    weight = builder.constant("w", np.ones((2, 3, 3, 3), np.float32))
    graph = builder.finish([builder.node(Conv2D(), [x, weight], name="layer")])
    part = linear(graph, graph.nodes[0])
    assert part is not None
    inputs = torch.from_numpy(np.random.default_rng(0).standard_normal((11, 6, 6, 3)).astype(np.float32))
    monkeypatch.setattr(side_by_side, "POSITIONS", 50)
    whole = moments(graph, part, inputs, inputs)
    monkeypatch.setattr(side_by_side, "CHUNK_NUMBERS", 1000)
    chunked = moments(graph, part, inputs, inputs)
    assert whole is not None and chunked is not None and whole.positions == chunked.positions == -(-11 * 16 // -(-11 * 16 // 50))
    np.testing.assert_allclose(whole.second, chunked.second, atol=1e-5)
