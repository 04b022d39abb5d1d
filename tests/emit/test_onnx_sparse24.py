"""2:4 weights in ONNX as TensorRT wants them: two zeros in each four neighbours along the input channels, for convolutions and products."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgewright.data import Data
from edgewright.ir.edit import GraphBuilder
from edgewright.ops import Conv2D, Dense, Mean, Reshape
from edgewright.ops.evaluate import evaluate, quantize_inputs
from edgewright.pipeline import emit, optimize
from edgewright.recipe import CLEAN, Recipe, Step
from edgewright.run.onnxruntime import run_onnxruntime


def test_two_of_four_along_the_input_channels() -> None:
    rng = np.random.default_rng(0)
    b = GraphBuilder("net")
    x = b.input("x", (None, 6, 6, 8))
    w = b.constant("conv_weight", rng.normal(size=(16, 3, 3, 8)).astype(np.float32))
    x = b.node(Mean((1, 2)), [b.node(Conv2D(activation="relu"), [x, w])])
    v = b.constant("dense_weight", rng.normal(size=(12, 16)).astype(np.float32))
    graph = b.finish([b.node(Dense(), [x, v])])
    steps = (*(Step(name, repeat=True) for name in CLEAN), Step("prune_weights", {"pattern": "2:4"}), Step("quantize_static"))
    data = Data((rng.normal(size=(16, 6, 6, 8)).astype(np.float32),))
    result = optimize(graph, recipe=Recipe("sparse24", steps), data=data, formats=["onnx"])
    model = onnx.load_from_string(emit(result, ["onnx"])["net.onnx"])
    arrays = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    seen = set()
    for array in arrays.values():
        if array.dtype != np.int8 or array.size not in (16 * 9 * 8, 12 * 16):
            continue
        axis = 1 if array.ndim == 4 or array.shape == (12, 16) else 0
        fours = np.moveaxis(array, axis, -1).reshape(-1, 4)
        assert ((fours != 0).sum(1) <= 2).all()
        assert (fours != 0).sum() > 0.4 * array.size, "no more zeros than asked for"
        seen.add(array.ndim)
    assert seen == {2, 4}


@pytest.mark.parametrize("activations", ["int8", "uint8"])
def test_behind_a_flattened_image(activations: str) -> None:
    """ONNX holds images channels first; the columns of a weight behind a Flatten would lose their neighbours with that order."""
    rng = np.random.default_rng(0)
    b = GraphBuilder("net")
    x = b.input("x", (None, 6, 6, 8))
    x = b.node(Conv2D(activation="relu"), [x, b.constant("conv", rng.normal(size=(16, 3, 3, 8)).astype(np.float32))])
    v = b.constant("dense", rng.normal(size=(12, 256)).astype(np.float32))
    graph = b.finish([b.node(Dense(), [b.node(Reshape((None, 256)), [x]), v])])
    steps = (*(Step(name, repeat=True) for name in CLEAN), Step("prune_weights", {"pattern": "2:4"}), Step("quantize_static"))
    data = Data((rng.normal(size=(16, 6, 6, 8)).astype(np.float32),))
    result = optimize(graph, recipe=Recipe("sparse24", steps), data=data, formats=["onnx"])
    files = emit(result, ["onnx"], onnx_activations=activations)
    model = onnx.load_from_string(files["net.onnx"])
    (array,) = [array for array in map(numpy_helper.to_array, model.graph.initializer) if array.shape == (12, 256)]
    assert ((array.reshape(-1, 4) != 0).sum(1) <= 2).all()
    run = run_onnxruntime(files, quantize_inputs(result.graph, data.inputs), optimization="none")
    wanted = evaluate(result.graph, quantize_inputs(result.graph, data.inputs))[0]
    assert np.abs(run.outputs[0].astype(np.float64) - wanted).max() <= 2
