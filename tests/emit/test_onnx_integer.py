"""The exact form in ONNX: its arithmetic against ops/requant.py at the ends of the range, real networks, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

import edgewright
from edgewright.emit.onnx import emit_onnx
from edgewright.emit.onnx_integer import IntegerWriter
from edgewright.emit.onnx_integer_arithmetic import requantized, scaled
from edgewright.errors import DataError, UnsupportedError
from edgewright.ops.evaluate import evaluate
from edgewright.ops.requant import Multiplier, multiply_by_quantized_multiplier, requantize
from edgewright.run.onnxruntime import run_onnxruntime
from edgewright.verbs.proof import random_inputs
from tests.zoo import INTEGER_ZOO, ZOO, quantize_zoo

INT32 = (-(1 << 31), (1 << 31) - 1)


def drawn(seed: int, channels: int, shifts: tuple[int, int]) -> Multiplier:
    random = np.random.default_rng(seed)
    ends = [1 << 30, (1 << 31) - 1]
    fixed = [*ends, *random.integers(1 << 30, 1 << 31, channels - 2)]
    return Multiplier(tuple(int(m) for m in fixed), tuple(int(s) for s in random.integers(shifts[0], shifts[1] + 1, channels)))


def accumulators(seed: int, bound: int, channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Numbers of every magnitude up to ``bound``, its ends, and what lies around ties."""
    random = np.random.default_rng(seed)
    sizes = np.exp2(random.uniform(0, np.log2(bound), (4000, channels)))
    numbers = np.where(random.random(sizes.shape) < 0.5, -1, 1) * np.floor(sizes)
    numbers[:5] = np.asarray([0, 1, -1, bound, -bound])[:, None]
    return np.clip(numbers, max(-bound, INT32[0]), min(bound, INT32[1]))


def computed(writer: IntegerWriter, result: str, kind: int, x: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> torch.Tensor:
    inputs = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", x.shape[1]])]
    body = helper.make_graph(writer.nodes, "net", inputs, [helper.make_tensor_value_info(result, kind, None)], writer.initializers)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"x": x})[0])


@pytest.mark.parametrize("shifts", [(-12, 0), (-30, -13), (-31, 5), (0, 0), (1, 7)])
@pytest.mark.parametrize("bound", [1 << 12, 1 << 23, 1 << 31])
def test_scaling_is_that_of_the_device(shifts: tuple[int, int], bound: int) -> None:
    multiplier, x = drawn(0, 16, shifts), accumulators(1, bound, 16)
    writer = IntegerWriter(INTEGER_ZOO[next(iter(INTEGER_ZOO))]())
    got = computed(writer, scaled(writer, "x", bound, multiplier), TensorProto.DOUBLE, x)
    want = multiply_by_quantized_multiplier(torch.from_numpy(x), multiplier)
    assert torch.equal(got.to(torch.int64), want)


@pytest.mark.parametrize("shifts", [(-12, 0), (-31, 3), (-20, -5)])
@pytest.mark.parametrize(("zero_point", "low"), [(0, -128), (-128, -128), (127, -128), (-5, -5)])
def test_rounding_to_int8_is_that_of_the_device(shifts: tuple[int, int], zero_point: int, low: int) -> None:
    multiplier, x = drawn(2, 8, shifts), accumulators(3, 1 << 30, 8)
    writer = IntegerWriter(INTEGER_ZOO[next(iter(INTEGER_ZOO))]())
    got = computed(writer, requantized(writer, "x", 1 << 30, multiplier, zero_point, low, 127), TensorProto.UINT8, x)
    assert torch.equal(got.to(torch.int32) - 128, requantize(torch.from_numpy(x), multiplier, zero_point, low, 127))


@pytest.mark.parametrize("name", ["ic_int8", "kws_int8"])
def test_real_networks_give_the_bytes_of_the_device(shared_models: Path, name: str) -> None:
    graph = edgewright.load(shared_models / "mlperf_tiny" / f"{name}.tflite")
    inputs = random_inputs(graph, 16)
    run = run_onnxruntime(emit_onnx(graph, activations="exact"), inputs)
    np.testing.assert_array_equal(run.outputs[0], evaluate(graph, inputs)[0])


def test_the_file_takes_and_gives_int8() -> None:
    graph = quantize_zoo(ZOO["conv_same_relu"](), clean=True)
    files = emit_onnx(graph, activations="exact")
    model = onnx.load_model_from_string(next(iter(files.values())))
    assert {entry.type.tensor_type.elem_type for entry in (*model.graph.input, *model.graph.output)} == {TensorProto.INT8}
    with pytest.raises(DataError, match="float32"):
        run_onnxruntime(files, [array.astype(np.float32) for array in random_inputs(graph, 2)])


def test_a_float_network_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="float level") as refusal:
        emit_onnx(ZOO["conv_same_relu"](), activations="exact")
    assert "w8a8" in str(refusal.value.hint)
