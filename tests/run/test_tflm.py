from __future__ import annotations

import sys

import numpy as np
import pytest

from edgewright.emit.tflite import emit_tflite
from edgewright.errors import DataError, ToolError
from edgewright.ir.edit import GraphBuilder
from edgewright.ops.evaluate import evaluate
from edgewright.ops.gelu import GELU
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.run.tflm import run_tflm
from tests.zoo import ZOO, integer_inputs, quantize_zoo, zoo_inputs


def test_samples_go_through_one_by_one(needs_tflite_micro: None) -> None:
    for name in ("conv_same_relu", "multi_input", "multi_output"):
        graph = quantize_zoo(ZOO[name]())
        inputs = integer_inputs(ZOO[name](), graph, 5)
        run = run_tflm(emit_tflite(graph), inputs)
        assert run.inferences == 5 and run.where == "TensorFlow Lite Micro" and run.seconds_per_inference is not None
        for own, theirs in zip(evaluate(graph, inputs), run.outputs, strict=True):
            np.testing.assert_array_equal(own, theirs)


def test_states_are_kept_or_start_anew(needs_tflite_micro: None) -> None:
    graph = quantize_zoo(ZOO["streaming"]())
    inputs = [np.repeat(array[:1], 4, axis=0) for array in integer_inputs(ZOO["streaming"](), graph, 1)]
    files = emit_tflite(graph)
    anew = run_tflm(files, inputs).outputs[0]
    assert np.all(anew == anew[:1])
    stream = run_tflm(files, inputs, reset_state=False).outputs[0]
    np.testing.assert_array_equal(stream[0], anew[0])
    assert np.any(stream[1] != stream[0])


def test_the_arena_grows_with_the_network(needs_tflite_micro: None) -> None:
    """Activations of eight megabytes, a file of one kilobyte."""
    net = GraphBuilder("large")
    graph = net.finish([net.node(Relu6(), [net.node(Relu(), [net.input("x", (None, 1 << 20))])])])
    assert run_tflm(emit_tflite(graph), zoo_inputs(graph, 1)).inferences == 1


def test_operators_without_a_kernel_are_an_error(needs_tflite_micro: None) -> None:
    net = GraphBuilder("gelu")
    graph = net.finish([net.node(GELU(), [net.input("x", (None, 4))])])
    with pytest.raises(ToolError, match="TensorFlow Lite Micro does not run this network"):
        run_tflm(emit_tflite(graph), zoo_inputs(graph, 1))


def test_inputs_that_do_not_fit(needs_tflite_micro: None) -> None:
    graph = ZOO["conv_same_relu"]()
    with pytest.raises(DataError, match="input 0 is int8, the network takes float32"):
        run_tflm(emit_tflite(graph), [array.astype(np.int8) for array in zoo_inputs(graph, 1)])


def test_a_missing_wheel_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("tflite_micro")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    graph = ZOO["conv_same_relu"]()
    with pytest.raises(ToolError, match="the tflite_micro wheel is not installed") as found:
        run_tflm(emit_tflite(graph), zoo_inputs(graph, 1))
    assert "scripts/setup" in found.value.hint
