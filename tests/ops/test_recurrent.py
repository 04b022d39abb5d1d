"""LSTM and GRU: the bytes of TensorFlow Lite Micro, closeness to the reals, gradients, what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ai_edge_litert.schema_py_generated import BuiltinOperator
from torch import nn

from edgewright.emit.onnx import emit_onnx
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level, Value
from edgewright.ops import GRU, LSTM
from edgewright.ops.evaluate import evaluate
from edgewright.ops.gates import hyperbolic_tangent, logistic
from edgewright.run.litert import run_litert
from edgewright.run.onnxruntime import run_onnxruntime
from edgewright.run.tflm import run_tflm
from tests.tflite_builder import TensorSpec, build_operator
from tests.tflite_builder import run_tflm as run_reference


def random_lstm(rng: np.random.Generator) -> Graph:
    """One integer LSTM layer with random sizes, scales and zero points; a scale for each gate."""
    steps, inputs, units = (int(size) for size in rng.integers(1, 10, 3))
    builder = GraphBuilder("lstm", Level.INTEGER)
    source = Quant.per_tensor(float(np.float32(rng.uniform(0.01, 0.05))), int(rng.integers(-128, 128)))
    output = Quant.per_tensor(float(np.float32(rng.uniform(0.005, 0.008))), int(rng.integers(-20, 20)))
    names = [builder.input("x", (None, steps, inputs), DType.INT8, source)]
    scales = [np.repeat(rng.uniform(0.002, 0.02, 4).astype(np.float32), units) for _ in range(2)]
    for size, steps_of in zip((inputs, units), scales, strict=True):
        weight = rng.integers(-127, 128, (4 * units, size)).astype(np.int8)
        names.append(builder.constant("weight", weight, quant=Quant.per_axis(steps_of, 0, DType.INT8)))
    bias_scales = scales[0] * np.float32(source.scale[0])
    bias = rng.integers(-2000, 2000, 4 * units).astype(np.int32)
    names.append(builder.constant("bias", bias, quant=Quant.per_axis(bias_scales, 0, DType.INT32)))
    op = LSTM(int(rng.choice([-12, -11, -10])))
    return builder.finish([builder.node(op, names, name="y", outputs=("y",), dtype=DType.INT8, quants=(output,))])


def test_lstm_is_tflm_s(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(0)
    for _ in range(12):
        graph = random_lstm(rng)
        x = rng.integers(-128, 128, (2, *[int(size or 1) for size in graph.value("x").shape[1:]])).astype(np.int8)
        (wanted,), files = evaluate(graph, [x]), emit_tflite(graph)
        np.testing.assert_array_equal(run_tflm(files, [x]).outputs[0], wanted)
        assert np.abs(run_litert(files, [x]).outputs[0].astype(int) - wanted).max() <= 2


def random_gru(rng: np.random.Generator) -> Graph:
    """One integer GRU layer with random sizes, scales and zero points."""
    steps, inputs, units = (int(size) for size in rng.integers(1, 10, 3))
    builder = GraphBuilder("gru", Level.INTEGER)
    source = Quant.per_tensor(float(np.float32(rng.uniform(0.01, 0.05))), int(rng.integers(-128, 128)))
    output = Quant.per_tensor(float(np.float32(rng.uniform(0.005, 0.008))), int(rng.integers(-20, 20)))
    names = [builder.input("x", (None, steps, inputs), DType.INT8, source)]
    scales = [np.repeat(rng.uniform(0.002, 0.02, 3).astype(np.float32), units) for _ in range(2)]
    for size, steps_of in zip((inputs, units), scales, strict=True):
        weight = rng.integers(-127, 128, (3 * units, size)).astype(np.int8)
        names.append(builder.constant("weight", weight, quant=Quant.per_axis(steps_of, 0, DType.INT8)))
    for steps_of, data in zip(scales, (source, output), strict=True):
        bias = rng.integers(-2000, 2000, 3 * units).astype(np.int32)
        names.append(builder.constant("bias", bias, quant=Quant.per_axis(steps_of * np.float32(data.scale[0]), 0, DType.INT32)))
    return builder.finish([builder.node(GRU(), names, name="y", outputs=("y",), dtype=DType.INT8, quants=(output,))])


@pytest.mark.parametrize("draw", [random_lstm, random_gru])
def test_the_exact_form_in_onnx(draw: Callable[[np.random.Generator], Graph]) -> None:
    rng = np.random.default_rng(1)
    for _ in range(12):
        graph = draw(rng)
        x = rng.integers(-128, 128, (20, *[int(size or 1) for size in graph.value("x").shape[1:]])).astype(np.int8)
        x[0], x[1] = -128, 127
        run = run_onnxruntime(emit_onnx(graph, activations="exact"), [x])
        np.testing.assert_array_equal(run.outputs[0], evaluate(graph, [x])[0])


def test_the_activations_follow_the_reals() -> None:
    x = torch.arange(-32768, 32768)
    reals = x.to(torch.float64) / 4096
    assert float((logistic(x) / 32768 - torch.sigmoid(reals)).abs().max()) < 3e-4
    assert float((hyperbolic_tangent(x) / 32768 - torch.tanh(reals)).abs().max()) < 6e-4
    assert float((hyperbolic_tangent(x, 2) / 32768 - torch.tanh(reals * 4)).abs().max()) < 6e-4


@pytest.mark.parametrize(("code", "activation"), [(BuiltinOperator.LOGISTIC, logistic), (BuiltinOperator.TANH, hyperbolic_tangent)])
def test_the_activations_are_tflm_s(code: int, activation: Callable[[torch.Tensor], torch.Tensor], needs_tflite_micro: None) -> None:
    x = np.arange(-32768, 32768).astype(np.int16)[None]
    source, target = (Quant.per_tensor(2.0**exponent, 0, DType.INT16) for exponent in (-12, -15))
    model = build_operator(code, None, [TensorSpec(x.shape, DType.INT16, source)], [TensorSpec(x.shape, DType.INT16, target)])
    np.testing.assert_array_equal(activation(torch.from_numpy(x.astype(np.int64))).numpy(), run_reference(model, [x])[0])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_floats_are_torch_s_and_carry_gradients(kind: str) -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(3, 5, batch_first=True) if kind == "lstm" else nn.GRU(3, 5, batch_first=True)
    x = torch.randn(2, 4, 3, requires_grad=True)
    weights = [layer.weight_ih_l0, layer.weight_hh_l0]
    biases = [layer.bias_ih_l0 + layer.bias_hh_l0] if kind == "lstm" else [layer.bias_ih_l0, layer.bias_hh_l0]
    (y,) = (LSTM() if kind == "lstm" else GRU()).evaluate([x, *weights, *biases])
    torch.testing.assert_close(y, layer(x)[0])
    y.sum().backward()
    assert x.grad is not None and layer.weight_hh_l0.grad is not None


def test_a_long_sequence_does_not_drift() -> None:
    """The state of a GRU moves by less than a byte a step; blended in 16 bits it still arrives."""
    steps = 120
    builder = GraphBuilder("slow", Level.INTEGER)
    unit = Quant.per_tensor(1 / 128, 0)
    zeros, per_row = np.zeros((3, 1), np.int8), Quant.per_axis(np.full(3, 0.01, np.float32), 0, DType.INT8)
    bias_quant = Quant.per_axis(np.full(3, 0.01 / 128, np.float32), 0, DType.INT32)
    # The update gate stays near 1, the new gate at tanh(1).
    bias = np.rint(np.asarray([0.0, 4.0, 1.0]) / (0.01 / 128)).astype(np.int32)
    names = [builder.input("x", (None, steps, 1), DType.INT8, unit)]
    names += [builder.constant("w", zeros, quant=per_row), builder.constant("r", zeros, quant=per_row)]
    names += [builder.constant("b", bias, quant=bias_quant), builder.constant("rb", np.zeros(3, np.int32), quant=bias_quant)]
    graph = builder.finish([builder.node(GRU(), names, name="y", outputs=("y",), dtype=DType.INT8, quants=(unit,))])
    (got,) = evaluate(graph, [np.zeros((1, steps, 1), np.int8)])
    update = 1 / (1 + np.exp(-4.0))
    wanted = np.tanh(1.0) * (1 - update ** np.arange(1, steps + 1))
    assert np.abs(got[0, :, 0] / 128 - wanted).max() < 0.01


def test_what_is_refused() -> None:
    x, weight, recurrent, bias = (Value(name, shape) for name, shape in
                                  (("x", (None, 4, 3)), ("w", (20, 3)), ("r", (20, 5)), ("b", (20,))))
    assert LSTM().infer([x, weight, recurrent, bias]) == ((None, 4, 5),)
    assert LSTM().macs([x, weight, recurrent, bias], [Value("y", (None, 4, 5))]) == 4 * 20 * 8
    for wrong in (Value("r", (20, 4)), Value("r", (15, 5))):
        with pytest.raises(ModelError, match="not those of 4 gates"):
            LSTM().infer([x, weight, wrong, bias])
    with pytest.raises(ModelError, match="does not fit weight"):
        LSTM().infer([Value("x", (None, 4, 2)), weight, recurrent, bias])
    with pytest.raises(ModelError, match=r"2\*\*-13"):
        LSTM(-13).infer([x, weight, recurrent, bias])
    wide = Value("x", (None, 4, 3), DType.INT16, Quant.per_tensor(0.1, 0, DType.INT16))
    with pytest.raises(UnsupportedError, match="no integer form"):
        LSTM().evaluate_integer([], [wide, weight, recurrent, bias], [Value("y", (None, 4, 5))])
