from __future__ import annotations

import numpy as np
import pytest

from edgewright.emit.tflite import emit_tflite
from edgewright.errors import DataError, ModelError, ToolError
from edgewright.ops.evaluate import evaluate
from edgewright.run.litert import KERNELS, run_litert
from tests.zoo import ZOO, integer_inputs, quantize_zoo, zoo_inputs


@pytest.mark.parametrize("kernels", sorted(KERNELS))
def test_samples_go_through_one_by_one(kernels: str) -> None:
    graph = quantize_zoo(ZOO["conv_same_relu"]())
    inputs = integer_inputs(ZOO["conv_same_relu"](), graph, 5)
    run = run_litert(emit_tflite(graph), inputs, kernels=kernels)
    assert run.inferences == 5 and run.where == f"LiteRT ({kernels} kernels)"
    assert run.seconds > 0 and run.seconds_per_inference is not None
    difference = np.abs(run.outputs[0].astype(int) - evaluate(graph, inputs)[0])
    assert difference.max() <= (0 if kernels == "reference" else 1)


def test_several_inputs_and_outputs() -> None:
    for name in ("multi_input", "multi_output"):
        graph = ZOO[name]()
        inputs = zoo_inputs(graph, 2)
        run = run_litert(emit_tflite(graph), inputs)
        assert len(run.outputs) == len(graph.outputs)
        for own, theirs in zip(evaluate(graph, inputs), run.outputs, strict=True):
            np.testing.assert_allclose(own, theirs, atol=1e-5)


def test_states_are_kept_or_start_anew() -> None:
    graph = ZOO["streaming"]()
    inputs = [np.repeat(array[:1], 4, axis=0) for array in zoo_inputs(graph, 1)]
    files = emit_tflite(graph)
    anew = run_litert(files, inputs).outputs[0]
    assert np.all(anew == anew[:1])
    stream = run_litert(files, inputs, reset_state=False).outputs[0]
    np.testing.assert_array_equal(stream[0], anew[0])
    assert np.any(stream[1] != stream[0])


def test_what_does_not_fit_is_told() -> None:
    graph = ZOO["conv_same_relu"]()
    files, inputs = emit_tflite(graph), zoo_inputs(graph, 2)
    with pytest.raises(DataError, match="expected one .tflite file, got none"):
        run_litert({"a.onnx": b""}, inputs)
    with pytest.raises(DataError, match="unknown kernels 'fast'") as found:
        run_litert(files, inputs, kernels="fast")
    assert "reference" in found.value.hint
    with pytest.raises(DataError, match="input 0 is float64, the network takes float32"):
        run_litert(files, [inputs[0].astype(np.float64)])
    with pytest.raises(DataError, match=r"input 0 has shape \[2, 8, 8, 2\], the network takes \[1, 8, 8, 3\]"):
        run_litert(files, [inputs[0][..., :2]])
    with pytest.raises(DataError, match=r"has shape \[0, 8, 8, 3\]"):
        run_litert(files, [inputs[0][:0]])
    with pytest.raises(DataError, match="takes 1 inputs, got 2"):
        run_litert(files, [*inputs, *inputs])
    with pytest.raises(ModelError, match="a.tflite cannot be read"):
        run_litert({"a.tflite": b"not a model"}, inputs)


def test_a_file_that_litert_refuses() -> None:
    (data,) = emit_tflite(ZOO["conv_same_relu"]()).values()
    with pytest.raises(ToolError, match="LiteRT does not run this network"):
        run_litert({"a.tflite": data[:4] + b"XXXX" + data[8:]}, zoo_inputs(ZOO["conv_same_relu"](), 1))
