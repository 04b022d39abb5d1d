"""Widths of weights and activations together: every budget holds, what loses most is widened, and the bytes are TensorFlow Lite Micro's."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

import edgewright
from edgewright.costs import cost_functions, layer_cost_functions
from edgewright.data import Data
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder, rebuild
from edgewright.ir.graph import Constant, Graph
from edgewright.ops import Softmax
from edgewright.ops.evaluate import evaluate, quantize_inputs
from edgewright.passes.precision.bit_widths import bit_front, parse_widths
from edgewright.passes.precision.mixed_widths import WidthFront, width_front
from edgewright.passes.precision.sensitivity import rounding_losses
from edgewright.passes.quantize.quantize_mixed import quantize_mixed
from edgewright.passes.quantize.quantize_static import quantize_static
from edgewright.passes.registry import Context
from edgewright.run.tflm import run_tflm
from edgewright.steps import integer_graph
from edgewright.targets.target import load_target
from tests.passes.quantize.test_round_weights import distance, network, pictures

M4 = load_target("cortex-m4")


def context() -> Context:
    return Context(data=Data((pictures(64),)), target=M4, costs=cost_functions(M4), layer_costs=layer_cost_functions(M4))


@functools.cache
def outlying() -> Graph:
    """The network of a residual block, where a channel that hardly matters later makes activations 300 times as wide."""
    graph = network()
    arrays = {name: graph.array(name).copy() for name in ("first/weight", "first/bias", "point/weight", "wide/weight")}
    arrays["first/weight"][0] *= 300.0
    arrays["first/bias"][0] *= 300.0
    arrays["point/weight"][..., 0] *= 1e-4
    arrays["wide/weight"][..., 0] *= 1e-4
    return rebuild(graph, constants={name: Constant(array) for name, array in arrays.items()})


@functools.cache
def front() -> WidthFront:
    ctx = context()
    bits = bit_front(outlying(), ctx, parse_widths("4,8"), 64)
    assert bits is not None
    return width_front(bits, ctx, 64)


def wide_nodes(graph: Graph) -> set[str]:
    return {node.name for node in graph.nodes if node.op.kind != "Requantize" and dtype(graph, node.outputs[0]) is DType.INT16}


def dtype(graph: Graph, name: str) -> DType:
    quant = graph.value(name).quant
    assert quant is not None
    return quant.dtype


def time(graph: Graph) -> float:
    return sum(layer_cost_functions(M4)["cycles"](graph).values())


def test_int16_where_one_channel_makes_activations_wide() -> None:
    """Activations are as wide as their largest channel: int8 leaves the others hardly a step."""
    graph = outlying()
    narrow = quantize_static(graph, context(), weight_ranges="mse")
    everywhere = quantize_static(graph, context(), weight_ranges="mse", activation_bits=16)
    ctx = context()
    mixed = quantize_mixed(graph, ctx, widths="8", slowdown=1.5)
    assert {"add", "wide"} <= wide_nodes(mixed) < {node.name for node in graph.nodes}
    assert time(mixed) <= 1.5 * time(narrow) < time(everywhere)
    assert distance(graph, mixed) < 0.6 * distance(graph, narrow)
    assert distance(graph, quantize_mixed(graph, context(), widths="8", slowdown=1.7)) < 1.1 * distance(graph, everywhere)
    told = {line.where: line.detail for line in ctx.lines if line.technique == "quantize_mixed"}
    assert told["wide"] == told["add"] == "activations of 16 bits"
    assert "times int8's cycles, proved to" in told["net"]


@pytest.mark.parametrize("factor", [1.0, 1.2, 1.5, 2.5])
def test_time_is_kept_and_more_of_it_never_loses_more(factor: float) -> None:
    known = front()
    found, less = (known.within(1e9, limit * known.int8_time) for limit in (factor, 1.0))
    int8 = time(quantize_static(outlying(), context()))
    assert found.loss <= less.loss * 1.001
    assert time(known.apply(found, context())) <= 1.005 * factor * int8
    assert known.int8_time == pytest.approx(int8, rel=0.01)


def test_bytes_of_weights_are_kept() -> None:
    known, sizes = front(), [node.inputs[1] for node in outlying().nodes if node.op.weight_inputs]
    found = known.within(0.75 * known.bits.int8_bytes, np.inf)
    chosen = known.apply(found, context())
    packed = sum(dtype(chosen, name).bytes_of(outlying().array(name).size) for name in sizes)
    assert packed == found.bytes <= 0.75 * known.bits.int8_bytes
    assert len({dtype(chosen, name) for name in sizes}) == 2


def test_the_arena_is_planned_and_kept() -> None:
    ctx, known = context(), front()
    plan = cost_functions(M4)["arena_bytes"]
    int8, free = plan(quantize_static(outlying(), context())), known.within(1e9, np.inf)
    most = plan(known.apply(free, context()))
    allowed = int((int8 + most) / 2)
    found = known.within(1e9, np.inf, allowed)
    assert int8 < plan(known.apply(found, context())) <= allowed < most
    assert free.loss < found.loss < known.within(1e9, known.int8_time).loss
    with pytest.raises(RecipeError, match="int8 activations need 1,024 bytes of arena, 100 are allowed"):
        quantize_mixed(outlying(), ctx, arena_bytes=100)


def test_shares_that_round_to_zero_do_not_count_as_impossible() -> None:
    """A softmax at the end has a grid of 1/256: its many shares below half a step cost no more than what they hold."""
    graph = network()
    builder = GraphBuilder("shares")
    logits = builder.input("logits", (None, 10))
    shares = builder.finish([builder.node(Softmax(), [logits], name="shares")])
    x = (4.0 * np.random.default_rng(0).normal(size=(50, 10))).astype(np.float32)
    grid = dataclasses.replace(shares.value("shares"), quant=Quant.per_tensor(1 / 256, -128))
    assert 0 < rounding_losses(shares, [x], {"shares": grid})["shares"] < 0.05
    coarse, fine = (dataclasses.replace(graph.value("add"), quant=Quant.per_tensor(scale, 0)) for scale in (1.0, 0.1))
    losses = [rounding_losses(graph, [pictures(32)], {"add": grid})["add"] for grid in (coarse, fine)]
    assert losses[0] > losses[1] > 0


def test_a_target_of_unknown_time_counts_multiply_accumulates() -> None:
    ctx = Context(data=Data((pictures(64),)), target=load_target("host"))
    mixed = quantize_mixed(outlying(), ctx, widths="8", slowdown=1.8)
    assert wide_nodes(mixed) and "times int8's multiply-accumulates" in ctx.lines[-1].detail


def test_what_cannot_be_is_refused() -> None:
    for options, told in (
        ({"share": 0.2, "widths": "8"}, "no widths keep within 194 bytes of weights"),
        ({"slowdown": 0.5, "widths": "8"}, "even int8 takes"),
        ({"share": 0.5, "slowdown": 1.0}, "together"),
        ({"activations": "4,8"}, "activations are '4,8'"),
        ({"share": 1.5}, "quantize_mixed: share 1.5"),
    ):
        with pytest.raises(RecipeError, match=told):
            quantize_mixed(network(), context(), **options)
    with pytest.raises(RecipeError, match="nothing is known of the arena"):
        quantize_mixed(network(), Context(data=Data((pictures(8),))), arena_bytes=1000)


def test_the_recipe_gives_the_same_bytes_everywhere(needs_cc: None, needs_tflite_micro: None) -> None:
    recipe = edgewright.recipe.load_recipe("mixed-activations").with_options("quantize_mixed", widths="4,8", share=0.8, slowdown=2.5)
    result = edgewright.optimize(outlying(), recipe=recipe, target=M4, data=pictures(64), formats=["tflite", "c"])
    kinds = {value.dtype for value in result.graph.values.values()}
    assert {DType.INT4, DType.INT8, DType.INT16} <= kinds
    inputs = quantize_inputs(result.graph, [pictures(6, seed=2)])
    (expected,) = evaluate(result.graph, inputs)
    np.testing.assert_array_equal(edgewright.measure(result, inputs, target="host").outputs[0], expected)
    np.testing.assert_array_equal(run_tflm(emit_tflite(result.graph), inputs).outputs[0], expected)
    assert integer_graph(result.graph, M4, Context(target=M4)) is result.graph
