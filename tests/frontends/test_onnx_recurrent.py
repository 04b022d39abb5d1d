"""ONNX's recurrent operators in every direction, against ONNX Runtime; and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.errors import EdgewrightError
from edgewright.frontends.onnx import load_onnx
from edgewright.ops.evaluate import evaluate
from edgewright.pipeline import emit
from edgewright.run.onnxruntime import run_onnxruntime

GATES = {"LSTM": 4, "GRU": 3}
STEPS, INPUTS, UNITS = 5, 3, 4


def network(kind: str, ways: int, *, bias: bool = True, state: bool = False, **attributes: Any) -> bytes:
    """One layer over (T, 1, I); its steps, or with ``state`` its last state, as one vector."""
    rng = np.random.default_rng(0)
    gates = GATES[kind]
    arrays = {"w": (ways, gates * UNITS, INPUTS), "r": (ways, gates * UNITS, UNITS)} | ({"b": (ways, 2 * gates * UNITS)} if bias else {})
    held = [numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name) for name, shape in arrays.items()]
    if kind == "GRU":
        attributes.setdefault("linear_before_reset", 1)
    outputs = ["", "last"] if state else ["steps"]
    nodes = [helper.make_node("Transpose", ["x"], ["sequence"], perm=[1, 0, 2]),
             helper.make_node(kind, ["sequence", *arrays], outputs, hidden_size=UNITS, **attributes),
             helper.make_node("Transpose", [outputs[-1]], ["told"], perm=[1, 2, 0] if state else [2, 0, 3, 1]),
             helper.make_node("Flatten", ["told"], ["y"], axis=1)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", STEPS, INPUTS])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", None])
    graph = helper.make_graph(nodes, "net", [x], [y], held)
    return onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", GATES)
def test_directions(kind: str, direction: str, state: bool) -> None:
    for bias in (True, False):
        data = network(kind, 2 if direction == "bidirectional" else 1, bias=bias, state=state, direction=direction)
        graph = load_onnx(data)
        x = np.random.default_rng(1).normal(size=(3, STEPS, INPUTS)).astype(np.float32)
        (want,) = run_onnxruntime({"net.onnx": data}, [x]).outputs
        (got,) = evaluate(graph, [x])
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        files = emit(graph, ["onnx"])
        np.testing.assert_allclose(run_onnxruntime(files, [x]).outputs[0], want, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(evaluate(load_onnx(files["net.onnx"]), [x])[0], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "ways", "attributes", "message"), [
    ("LSTM", 1, {"direction": "sideways"}, "direction 'sideways'"),
    ("LSTM", 1, {"direction": "bidirectional"}, "for 2 directions"),
    ("GRU", 2, {"direction": "reverse"}, "for 1 directions"),
    ("LSTM", 2, {"direction": "bidirectional", "activations": ["Sigmoid", "Tanh", "Tanh", "Sigmoid", "Relu", "Tanh"]},
     "other activations"),
    ("GRU", 1, {"linear_before_reset": 0}, "resets before its matrix"),
])
def test_what_is_refused(kind: str, ways: int, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgewrightError, match=message) as found:
        load_onnx(network(kind, ways, **attributes))
    assert found.value.hint
