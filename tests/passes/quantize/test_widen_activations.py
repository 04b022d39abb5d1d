"""Layers of int16 in a network of int8: chosen by what they lose, or by name; the bytes of TensorFlow Lite Micro."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.data import Data
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph
from edgewright.lower.integer import lower_integer
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.run.tflm import run_tflm
from edgewright.targets.target import load_target
from tests.contract.animals import cleaned
from tests.zoo import zoo_inputs

NAMES = ["residual_batch_norm", "inverted_bottleneck", "inception_branches", "dense_autoencoder"]


def quantized(name: str) -> tuple[Graph, Context]:
    ctx = Context(data=Data(tuple(np.asarray(array, np.float32) for array in zoo_inputs(cleaned(name), 100))))
    return load_passes()["quantize_static"].function(cleaned(name), ctx), ctx


def widened(name: str, **options: object) -> Graph:
    graph, ctx = quantized(name)
    return load_passes()["widen_activations"].function(graph, ctx, **options)


def error(name: str, graph: Graph) -> float:
    x = zoo_inputs(cleaned(name), 50, seed=4)
    integer = lower_integer(graph, load_target("cortex-m4"))
    got = dequantize_outputs(integer, evaluate(integer, quantize_inputs(integer, x)))
    return sum(float(np.square(a - b).mean() / b.var()) for a, b in zip(got, evaluate(cleaned(name), x), strict=True))


def wide_layers(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes if node.op.weight_inputs and graph.value(node.outputs[0]).quant.dtype is DType.INT16]


@pytest.mark.parametrize("name", NAMES)
def test_two_activations_bring_the_outputs_nearer_and_are_tflm_s_bytes(name: str, needs_tflite_micro: None) -> None:
    graph = widened(name)
    assert wide_layers(graph)
    assert error(name, graph) < 0.95 * error(name, quantized(name)[0])
    integer = lower_integer(graph, load_target("cortex-m4"))
    assert {value.dtype for key, value in integer.values.items() if key not in integer.constants} == {DType.INT8, DType.INT16}
    arrays = zoo_inputs(integer, 5)
    for wanted, got in zip(evaluate(integer, arrays), run_tflm(emit_tflite(integer), arrays).outputs, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_layers_by_name() -> None:
    graph, ctx = quantized("inverted_bottleneck")
    names = [node.name for node in graph.nodes if node.op.weight_inputs]
    only = widened("inverted_bottleneck", layers=names[1])
    assert wide_layers(only) == names[1:2]
    assert wide_layers(widened("inverted_bottleneck", layers="*")) == names
    widen = load_passes()["widen_activations"].function
    assert widen(only, ctx, layers=names[1]) is only
    both = widen(only, ctx, layers=names[0])
    assert wide_layers(both) == names[:2]
    with pytest.raises(RecipeError, match="has no layer 'nothing'"):
        widen(graph, ctx, layers=f"{names[0]}, nothing")


def test_what_has_no_such_form_is_told() -> None:
    graph, ctx = quantized("long_memory")
    name = next(node.name for node in graph.nodes if node.op.kind == "LSTM")
    assert load_passes()["widen_activations"].function(graph, ctx, layers=name) is graph
    assert ctx.lines[-1].detail == "LSTM has no int16 form"


def test_zero_layers_are_refused() -> None:
    with pytest.raises(RecipeError, match="count 0"):
        widened("conv_1d", count=0)
