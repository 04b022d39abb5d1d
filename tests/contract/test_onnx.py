"""ONNX files give what the evaluation gives, on the whole zoo, and are read back as the same network.

ONNX Runtime runs them without its own optimizations: its fused integer kernels differ from machine to machine (without VNNI they saturate).
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgewright.emit.onnx import emit_onnx
from edgewright.frontends.onnx import load_onnx
from edgewright.ir.graph import Graph, Level
from edgewright.ir.verify import verify
from edgewright.ops.evaluate import evaluate
from edgewright.run.onnxruntime import run_onnxruntime
from tests.contract.animals import EVERY, cleaned, integer_graph, original
from tests.contract.test_emitters import inputs_of
from tests.zoo import ZOO, zoo_inputs

MOST_STEPS = 3
"""An output may lie so many steps from TFLM's arithmetic: QDQ rounds once, in float, and a step can grow from layer to layer."""


def step_of(graph: Graph, name: str) -> float:
    """What one step makes in an output: 1 for integers; more behind an activation from a coarser grid; in reals the grid."""
    maker = graph.producers[name]
    source, target = graph.value(maker.inputs[0]).quant, graph.value(name).quant
    if target is None:
        return source.scale[0] if source else 1.0
    return max(1.0, source.scale[0] / target.scale[0]) if maker.op.pointwise else 1.0


@pytest.mark.parametrize("name", ZOO)
def test_float_networks_in_onnx_runtime(name):
    for graph in (original(name), cleaned(name)):
        arrays = zoo_inputs(graph, 4)
        run = run_onnxruntime(emit_onnx(graph), arrays, optimization="none")
        for wanted, got in zip(evaluate(graph, arrays), run.outputs, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(wanted).max())))


@pytest.mark.parametrize("activations", ["int8", "uint8"])
@pytest.mark.parametrize("name", EVERY)
def test_integer_networks_in_onnx_runtime(name, activations):
    for clean in (False, True):
        graph, arrays = integer_graph(name, clean), inputs_of(name, clean)
        run = run_onnxruntime(emit_onnx(graph, activations=activations), arrays, optimization="none")
        most = min(MOST_STEPS, len(graph.nodes)) * 1.0001
        for output, wanted, got in zip(graph.outputs, evaluate(graph, arrays), run.outputs, strict=True):
            assert got.shape == wanted.shape and got.dtype == wanted.dtype
            assert np.abs(got.astype(np.float64) - wanted).max() <= most * step_of(graph, output), output


@pytest.mark.parametrize("name", EVERY)
def test_the_exact_form_gives_the_bytes_of_the_device(name):
    for clean in (False, True):
        graph, arrays = integer_graph(name, clean), inputs_of(name, clean)
        files = emit_onnx(graph, activations="exact")
        onnx.checker.check_model(onnx.load_model_from_string(files[f"{graph.name}.onnx"]), full_check=True)
        for optimization in ("none", "all"):
            run = run_onnxruntime(files, arrays, optimization=optimization)
            for wanted, got in zip(evaluate(graph, arrays), run.outputs, strict=True):
                assert got.dtype == wanted.dtype
                np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", [name for name in ZOO if not ZOO[name]().states])
def test_a_float_network_comes_back_from_onnx(name):
    """Its states, which ONNX does not have, would come back as inputs and outputs; three axes come back as (N, L, C)."""
    graph = original(name)
    (data,) = emit_onnx(graph).values()
    back, arrays = verify(load_onnx(data)), zoo_inputs(graph, 4)
    assert back.level is Level.FLOAT
    turned = [
        array if array.shape[1:] == back.value(key).shape[1:] else np.moveaxis(array, 1, -1)
        for array, key in zip(arrays, back.inputs, strict=True)
    ]
    for wanted, got in zip(evaluate(graph, arrays), evaluate(back, turned), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(wanted).max())))
