"""Half-precision weights."""

from __future__ import annotations

import numpy as np

from edgewright.ir.dtype import DType
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.ops.dense import Dense
from edgewright.ops.evaluate import evaluate
from edgewright.passes.quantize.quantize_float16 import quantize_float16
from edgewright.passes.registry import Context


def network(largest: float = 1.0) -> Graph:
    b = GraphBuilder("net")
    random = np.random.default_rng(0)
    weight = b.constant("w", random.standard_normal((8, 16)).astype(np.float32))
    offset = np.zeros(8, np.float32)
    offset[3] = largest
    return b.finish([b.node(Dense(), [b.input("x", (None, 16)), weight, b.constant("b", offset)])])


def test_constants_become_half_and_the_outputs_stay_close() -> None:
    graph, ctx = network(), Context()
    halved = quantize_float16(graph, ctx)
    assert halved.level is Level.FLOAT
    assert {name: halved.value(name).dtype for name in halved.constants} == {"w": DType.FLOAT16, "b": DType.FLOAT16}
    assert halved.array("w").dtype == np.float16
    x = np.random.default_rng(1).standard_normal((4, 16)).astype(np.float32)
    assert np.allclose(evaluate(graph, [x])[0], evaluate(halved, [x])[0], atol=2e-2)
    assert [line.detail for line in ctx.lines] == ["2 constants to float16"]
    assert quantize_float16(halved, Context()) is halved


def test_what_would_overflow_stays() -> None:
    ctx = Context()
    halved = quantize_float16(network(1e6), ctx)
    assert halved.value("b").dtype is DType.FLOAT32
    assert ("skipped", "b", "holds numbers beyond 65504") in [(line.action, line.where, line.detail) for line in ctx.lines]
