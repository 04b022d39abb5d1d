"""Dynamic-range quantization."""

from __future__ import annotations

import numpy as np

from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Level
from edgewright.ops.dense import Dense
from edgewright.ops.evaluate import evaluate
from edgewright.passes.quantize.quantize_dynamic import quantize_dynamic
from edgewright.passes.registry import Context


def test_large_weights_only_and_no_data_needed() -> None:
    b = GraphBuilder("net")
    random = np.random.default_rng(0)
    large, small = (b.constant(name, random.standard_normal(shape).astype(np.float32)) for name, shape in (("w", (32, 16)), ("v", (4, 32))))
    hidden = b.node(Dense("relu"), [b.input("x", (None, 16)), large, b.constant("b", np.ones(32, np.float32))], name="hidden")
    graph = b.finish([b.node(Dense(), [hidden, small], name="out")])
    ctx = Context()
    quantized = quantize_dynamic(graph, ctx)
    assert quantized.level is Level.QUANTIZED
    assert {name for name, value in quantized.values.items() if value.quant is not None} == {"w"}
    quant = quantized.value("w").quant
    assert quant is not None and quant.axis == 0 and len(quant.scale) == 32
    x = random.standard_normal((4, 16)).astype(np.float32)
    assert np.allclose(evaluate(graph, [x])[0], evaluate(quantized, [x])[0], atol=0.2)
    assert [(line.action, line.where) for line in ctx.lines] == [("did", "hidden"), ("skipped", "out")]
    assert quantize_dynamic(graph, Context(), minimum_elements=10_000) is graph


def test_a_weight_computed_at_run_time_is_passed_over() -> None:
    b = GraphBuilder("net")
    graph = b.finish([b.node(Dense(), [b.input("x", (None, 16)), b.input("w", (32, 16))], name="matmul")])
    ctx = Context()
    assert quantize_dynamic(graph, ctx) is graph
    assert ctx.lines[0].detail == "its weight is computed at run time"
