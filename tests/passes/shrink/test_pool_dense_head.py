"""A wide dense head becomes global pooling and a small one, fitted to what it said."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph
from edgewright.ops import Dense, Reshape
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.passes.registry import Context

POOL = load_passes()["pool_dense_head"].function
RNG = np.random.default_rng(0)
DATA = Data((RNG.normal(size=(200, 3, 4, 5)).astype(np.float32),))


def network(weight: np.ndarray) -> Graph:
    b = GraphBuilder("head")
    flat = b.node(Reshape((None, 60)), [b.input("x", (None, 3, 4, 5))], name="flatten")
    inputs = [flat, b.constant("weight", weight.astype(np.float32)), b.constant("bias", np.arange(2, dtype=np.float32))]
    return b.finish([b.node(Dense(), inputs, name="dense")])


def test_a_head_that_only_averages_is_found():
    graph = network(np.tile(RNG.normal(size=(2, 5)), (1, 12)))
    for ctx in (Context(data=DATA), Context()):
        result = POOL(graph, ctx)
        assert [node.op.kind for node in result.nodes] == ["Mean", "Dense"] and result.array("weight_pooled").shape == (2, 5)
        np.testing.assert_allclose(evaluate(result, DATA.inputs)[0], evaluate(graph, DATA.inputs)[0], atol=1e-4)
        assert "120 → 10 weights behind global average pooling" in ctx.lines[0].detail


def test_a_head_that_looks_at_places_stays():
    graph = network(RNG.normal(size=(2, 60)))
    ctx = Context(data=DATA)
    assert POOL(graph, ctx, worst=0.5) is graph
    assert "would be lost, more than 50.0%" in ctx.lines[0].detail
    by_data, blind = (evaluate(POOL(graph, given, worst=2.0), DATA.inputs)[0] for given in (Context(data=DATA), Context()))
    wanted = evaluate(graph, DATA.inputs)[0]
    assert np.square(by_data - wanted).sum() < np.square(blind - wanted).sum()
    with pytest.raises(RecipeError):
        POOL(graph, Context(), ridge=0.0)
