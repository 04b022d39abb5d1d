"""Small branches are enlarged by powers of two, exactly; what cannot be is told."""

from __future__ import annotations

import numpy as np

from edgewright.data import Data
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph
from edgewright.ops import Concat, Conv2D, Dense, Mean, Tanh
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.passes.registry import Context

BALANCE = load_passes()["balance_joins"].function


def branches(small: float, smooth: bool = False) -> Graph:
    rng = np.random.default_rng(0)
    b = GraphBuilder("branches")
    x = b.input("x", (None, 6, 6, 3))
    made = []
    for index, size in enumerate((1.0, small)):
        weight = b.constant(f"w{index}", (size * rng.normal(0, 1, (4, 1, 1, 3))).astype(np.float32))
        bias = b.constant(f"b{index}", (size * rng.normal(0, 1, 4)).astype(np.float32))
        made.append(b.node(Conv2D(activation="relu"), [x, weight, bias], name=f"branch{index}"))
    made[1] = b.node(Tanh(), [made[1]], name="tanh") if smooth else made[1]
    y = b.node(Mean((1, 2)), [b.node(Concat(3), made, name="join")], name="mean")
    return b.finish([b.node(Dense(), [y, b.constant("w", rng.normal(0, 1, (5, 8)).astype(np.float32))], name="head")])


def data() -> Data:
    return Data((np.random.default_rng(1).normal(0, 1, (8, 6, 6, 3)).astype(np.float32),))


def test_the_smaller_branch_reaches_the_larger_one_and_no_output_changes() -> None:
    graph, ctx = branches(1 / 300), Context(data=data())
    found = BALANCE(graph, ctx)
    factor = found.array("w1") / graph.array("w1")
    assert np.all(factor == factor.flat[0]) and 64 <= factor.flat[0] <= 1024 and np.log2(factor.flat[0]) % 1 == 0
    assert np.array_equal(found.array("w")[:, 4:] * factor.flat[0], graph.array("w")[:, 4:])
    assert np.array_equal(found.array("w")[:, :4], graph.array("w")[:, :4]) and np.array_equal(found.array("w0"), graph.array("w0"))
    (before,), (after,) = (evaluate(which, data().inputs) for which in (graph, found))
    assert np.allclose(before, after, rtol=1e-5, atol=1e-6)
    assert [line.where for line in ctx.lines] == ["branch1"]


def test_alike_branches_stay_and_one_that_no_layer_makes_is_told() -> None:
    graph = branches(1.0)
    assert BALANCE(graph, Context(data=data())) is graph
    smooth, ctx = branches(1 / 300, smooth=True), Context(data=data())
    assert BALANCE(smooth, ctx) is smooth
    assert [(line.action, line.where) for line in ctx.lines] == [("skipped", "tanh")]
