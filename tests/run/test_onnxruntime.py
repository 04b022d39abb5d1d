"""ONNX Runtime as a place to run: arrays go in and come out as the graph has them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgewright.emit.onnx import emit_onnx
from edgewright.errors import DataError, EdgewrightError, ModelError, ToolError
from edgewright.ops.evaluate import evaluate
from edgewright.run import onnxruntime
from edgewright.run.onnxruntime import run_onnxruntime
from tests.zoo import ZOO, integer_inputs, quantize_zoo, zoo_inputs

FOREIGN = """
<ir_version: 8, opset_import: ["" : 17]>
foreign (float[N, 2, 3, 4] x) => (float[N, 2, 3, 4] y)
{ y = Relu (x) }
"""


def foreign() -> dict[str, bytes]:
    return {"foreign.onnx": onnx.parser.parse_model(FOREIGN).SerializeToString()}


def test_integers_in_integers_out_channels_last() -> None:
    graph = ZOO["unet"]()
    integer = quantize_zoo(graph)
    inputs = integer_inputs(graph, integer, 5)
    run = run_onnxruntime(emit_onnx(integer), inputs, optimization="none")
    expected = evaluate(integer, inputs)
    assert run.inferences == 5 and run.where == "ONNX Runtime"
    assert [(array.dtype, array.shape) for array in run.outputs] == [(array.dtype, array.shape) for array in expected]
    assert run.seconds_per_inference is not None and 0 < run.seconds_per_inference < run.seconds


def test_states_start_from_their_first_contents() -> None:
    graph = ZOO["streaming"]()
    inputs = zoo_inputs(graph, 4)
    np.testing.assert_allclose(run_onnxruntime(emit_onnx(graph), inputs).outputs[0], evaluate(graph, inputs)[0], atol=1e-5)


def test_files_of_others_take_arrays_as_they_are() -> None:
    x = np.random.default_rng(0).normal(size=(2, 2, 3, 4)).astype(np.float32)
    assert np.array_equal(run_onnxruntime(foreign(), [x], threads=2, repeats=3).outputs[0], np.maximum(x, 0))


def test_auto_says_when_integer_kernels_would_saturate(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = ZOO["conv_same_relu"]()
    integer = quantize_zoo(graph)
    inputs = integer_inputs(graph, integer, 2)
    files = emit_onnx(integer, activations="uint8")
    monkeypatch.setattr(onnxruntime, "_exact_integer_kernels", lambda: False)
    run = run_onnxruntime(files, inputs)
    assert len(run.notes) == 1 and "saturate" in run.notes[0]
    assert np.abs(run.outputs[0].astype(int) - evaluate(integer, inputs)[0]).max() <= 1
    assert not run_onnxruntime(emit_onnx(graph), zoo_inputs(graph, 2)).notes
    monkeypatch.setattr(onnxruntime, "_exact_integer_kernels", lambda: True)
    assert not run_onnxruntime(files, inputs).notes


def test_clear_errors() -> None:
    x = np.zeros((1, 2, 3, 4), np.float32)
    cases: list[tuple[type[EdgewrightError], str, object]] = [
        (DataError, "0 .onnx files", lambda: run_onnxruntime({"a.tflite": b""}, [x])),
        (DataError, "unknown optimization", lambda: run_onnxruntime(foreign(), [x], optimization="most")),
        (DataError, "no inputs", lambda: run_onnxruntime(foreign(), [])),
        (DataError, "takes 1 inputs, got 2", lambda: run_onnxruntime(foreign(), [x, x])),
        (ToolError, "does not run", lambda: run_onnxruntime(foreign(), [np.zeros((1, 9), np.float32)])),
        (ModelError, "not an ONNX model", lambda: run_onnxruntime({"a.onnx": b"nonsense, really"}, [x])),
        (DataError, "takes 4 axes", lambda: run_onnxruntime(emit_onnx(ZOO["unet"]()), [np.zeros((1, 9), np.float32)])),
        (DataError, "takes reals", lambda: run_onnxruntime(emit_onnx(ZOO["dense_autoencoder"]()), [np.zeros((1, 16), np.int8)])),
    ]
    for kind, message, call in cases:
        with pytest.raises(kind, match=message) as caught:
            call()  # type: ignore[operator]
        assert caught.value.hint
