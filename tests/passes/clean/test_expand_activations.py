from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgewright.emit.c import emit_c
from edgewright.emit.tflite import emit_tflite
from edgewright.ir.graph import Graph, Level
from edgewright.lower.program import make_program
from edgewright.ops import HardSigmoid, Mul, Sigmoid, SiLU
from edgewright.ops.evaluate import dequantize_outputs, evaluate
from edgewright.run.host import run_host
from edgewright.run.litert import run_litert
from edgewright.run.tflm import run_tflm
from edgewright.targets.target import load_target
from tests.passes.check import Net, apply, kinds, unchanged
from tests.zoo import ZOO, clean_zoo, integer_inputs, quantize_zoo, zoo_inputs


def alone(op: SiLU | HardSigmoid) -> Graph:
    net = Net()
    return net.finish([net.apply(op, [net.enter("x", (None, 3, 3, 4))], "act")])


def test_silu() -> None:
    after, ctx = apply("expand_activations", alone(SiLU()))
    assert kinds(after) == ["Sigmoid", "Mul"] and after.outputs == ("act",)
    assert [(line.where, line.detail) for line in ctx.lines] == [("act", "SiLU made a Sigmoid and a Mul")]


def test_the_standard_hard_sigmoid_needs_no_product_before_the_sum() -> None:
    after, _ = apply("expand_activations", alone(HardSigmoid()))
    assert kinds(after) == ["Add", "Mul"] and after.nodes[0].op.activation == "relu6"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 0.4), (1.0, 0.0), (-0.5, 0.5), (0.0, 0.25), (30.0, -7.0)])
def test_any_hard_sigmoid(alpha: float, beta: float) -> None:
    after, _ = apply("expand_activations", alone(HardSigmoid(alpha, beta)))
    assert kinds(after) == ["Mul", "Add", "Mul"]


def test_factors_beyond_float32_stay() -> None:
    ctx = unchanged("expand_activations", alone(HardSigmoid(1e38, 0.5)))
    assert [(line.action, line.where) for line in ctx.lines] == [("skipped", "act")] and "1e+38" in ctx.lines[0].detail


def test_several_with_names_that_are_taken() -> None:
    net = Net()
    y = net.apply(SiLU(), [net.apply(SiLU(), [net.enter("x", (None, 4))], "a")], "a_sigmoid")
    after, _ = apply("expand_activations", net.finish([y, net.apply(HardSigmoid(), [y], "b")]))
    assert kinds(after) == ["Sigmoid", "Mul", "Sigmoid", "Mul", "Add", "Mul"]


def test_other_levels_and_other_nodes() -> None:
    net = Net()
    x = net.enter("x", (None, 4))
    unchanged("expand_activations", net.finish([net.apply(Mul(), [x, net.apply(Sigmoid(), [x], "gate")], "product")]))


def test_the_sum_of_a_hard_sigmoid_goes_into_the_layer_before_it() -> None:
    net = Net()
    after, _ = apply("expand_activations", net.finish([net.apply(HardSigmoid(), [net.dense(net.enter("x", (None, 5)), 4, "fc")], "gate")]))
    assert kinds(clean_zoo(after)) == ["Dense", "Mul"]


@pytest.mark.parametrize("name", ["table_activations", "smooth_activations_inside", "squeeze_and_excite"])
@pytest.mark.parametrize("clean", [False, True], ids=["plain", "clean"])
def test_the_integers_of_tflite_and_c_are_those_of_the_evaluation(name: str, clean: bool, needs_cc: None, needs_tflite_micro: None) -> None:
    """And they are as near to the float network as those of the tables, or nearly so."""
    source = _without_gelu(ZOO[name]())
    integer = quantize_zoo(apply("expand_activations", source)[0], clean=clean)
    assert integer.level is Level.INTEGER and not {"SiLU", "HardSigmoid"} & set(kinds(integer))
    inputs = integer_inputs(source, integer, 8)
    own, files = evaluate(integer, inputs), emit_tflite(integer)
    specs = [(value.dtype.numpy, value.shape[1:]) for value in (integer.value(name) for name in integer.outputs)]
    built = emit_c(make_program(integer, load_target("host")))
    for run in (run_host(built, inputs, outputs=specs), run_tflm(files, inputs)):
        for mine, theirs in zip(own, run.outputs, strict=True):
            np.testing.assert_array_equal(theirs, mine, strict=True)
    for mine, theirs in zip(own, run_litert(files, inputs).outputs, strict=True):
        assert np.abs(theirs.astype(np.int32) - mine).max() <= 2, "its fully connected layer rounds otherwise"
    real = evaluate(source, zoo_inputs(source, 8))
    tables = quantize_zoo(source, clean=clean)
    for truth, expanded, table in zip(real, *(_reals(graph, source) for graph in (integer, tables)), strict=True):
        step = float(np.ptp(truth)) / 255
        assert np.abs(expanded - truth).max() <= np.abs(table - truth).max() + 1.5 * step


def _reals(integer: Graph, source: Graph) -> list[np.ndarray]:
    return dequantize_outputs(integer, evaluate(integer, integer_inputs(source, integer, 8)))


def _without_gelu(graph: Graph) -> Graph:
    """``graph`` without its last layers that TensorFlow Lite Micro has no kernel for."""
    outputs = [graph.producers[name].inputs[0] if graph.producers[name].op.kind == "GELU" else name for name in graph.outputs]
    nodes = tuple(node for node in graph.nodes if node.op.kind != "GELU")
    values = {name: value for name, value in graph.values.items() if name not in graph.producers or graph.producers[name] in nodes}
    return dataclasses.replace(graph, outputs=tuple(dict.fromkeys(outputs)), nodes=nodes, values=values)
