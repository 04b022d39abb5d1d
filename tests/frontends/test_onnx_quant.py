"""Quantized ONNX files: grids arrive as Quants, and what is lowered computes what the file says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgewright.emit.onnx import emit_onnx
from edgewright.errors import UnsupportedError
from edgewright.frontends.onnx import load_onnx
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Level
from edgewright.lower.integer import lower_integer
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs
from edgewright.run.onnxruntime import run_onnxruntime
from edgewright.targets.target import load_target
from tests.frontends.networks import CASES, to_graph_axes
from tests.frontends.test_onnx import export_legacy
from tests.zoo import ZOO, integer_inputs, quantize_zoo, zoo_inputs

STATEFUL = ("streaming",)


@pytest.mark.parametrize("name", [name for name in ZOO if name not in STATEFUL])
@pytest.mark.parametrize("activations", ["int8", "uint8"])
def test_integers_survive_the_round_trip(name: str, activations: str) -> None:
    """An integer graph written as QDQ comes back as one that gives the same bytes."""
    graph = ZOO[name]()
    integer = quantize_zoo(graph)
    (data,) = emit_onnx(integer, activations=activations).values()
    loaded = load_onnx(data)
    assert loaded.level is Level.QUANTIZED
    again = lower_integer(loaded, load_target("cortex-m4"))
    assert [again.value(value).shape for value in again.inputs] == [integer.value(value).shape for value in integer.inputs]
    for expected, found in zip(
        evaluate(integer, integer_inputs(graph, integer, 8)), evaluate(again, quantize_inputs(again, zoo_inputs(graph, 8))), strict=True
    ):
        assert expected.tobytes() == found.tobytes()


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: list[NDArray[np.float32]]) -> None:
        self.batches: Iterator[NDArray[np.float32]] = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"x0": batch}


@pytest.mark.parametrize("types", [(QuantType.QUInt8, QuantType.QInt8), (QuantType.QInt8, QuantType.QInt8)])
@pytest.mark.parametrize("name", ["inverted_residual", "residual", "unet", "keyword_spotting"])
def test_files_of_another_quantizer(name: str, types: tuple[QuantType, QuantType], tmp_path: Path) -> None:
    """ONNX Runtime's own static quantization, per channel: loaded, lowered, and within a step a layer of ONNX Runtime."""
    case = CASES[name]
    (tmp_path / "float.onnx").write_bytes(export_legacy(case, 17, dynamic=False))
    batches = [case.inputs(1, seed=seed)[0].numpy() for seed in range(16)]
    quantize_static(
        tmp_path / "float.onnx",
        tmp_path / "quantized.onnx",
        _Reader(batches),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=types[0],
        weight_type=types[1],
    )
    graph = load_onnx(tmp_path / "quantized.onnx")
    integer = lower_integer(graph, load_target("cortex-m4"))
    images = np.concatenate([batch.transpose(0, 2, 3, 1) for batch in batches])
    ours = dequantize_outputs(integer, evaluate(integer, quantize_inputs(integer, [images])))[0]
    files = {"quantized.onnx": (tmp_path / "quantized.onnx").read_bytes()}
    theirs = np.concatenate([run_onnxruntime(files, [batch]).outputs[0] for batch in batches])
    quant = integer.value(integer.outputs[0]).quant
    assert quant is not None
    theirs_held = to_graph_axes([theirs], [ours.shape])[0]
    assert np.abs(ours - theirs_held).max() <= 4.5 * quant.scale[0]
    assert (ours.argmax(-1) == theirs_held.argmax(-1)).mean() > 0.8


def qdq(name: str, source: str, scale: float, zero_point: NDArray[np.generic]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """A QuantizeLinear and a DequantizeLinear behind ``source``; the result is called ``name``."""
    numbers = [numpy_helper.from_array(np.float32(scale), f"{name}_scale"), numpy_helper.from_array(zero_point, f"{name}_zero")]
    entries = [numbers[0].name, numbers[1].name]
    return [
        helper.make_node("QuantizeLinear", [source, *entries], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", *entries], [name]),
    ], numbers


def model_of(
    nodes: list[onnx.NodeProto], numbers: list[onnx.TensorProto], outputs: list[str], shape: list[int | str], kind: int = TensorProto.FLOAT
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        numbers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_uint8_becomes_int8_and_the_value_itself_carries_the_grid() -> None:
    nodes, numbers = qdq("y", "x", 0.5, np.uint8(3))
    graph = load_onnx(model_of([*nodes, helper.make_node("Relu", ["y"], ["z"])], numbers, ["z"], ["N", 4]))
    assert graph.value("x").quant == Quant.per_tensor(0.5, 3 - 128)
    assert [node.op.kind for node in graph] == ["Relu"]


def test_a_value_that_is_also_read_unrounded_stays_so() -> None:
    nodes, numbers = qdq("y", "x", 0.5, np.int8(0))
    graph = load_onnx(model_of([*nodes, helper.make_node("Add", ["x", "y"], ["z"])], numbers, ["z"], ["N", 4]))
    assert graph.value("x").quant is None
    assert [node.op.kind for node in graph] == ["Quantize", "Add"]
    x = np.float32([[0.3, 0.6, -0.2, 0.9]])
    np.testing.assert_allclose(evaluate(graph, [x])[0], x + np.float32([[0.5, 0.5, 0.0, 1.0]]))


def test_two_grids_one_after_the_other_are_a_requantization() -> None:
    first, numbers = qdq("y", "x", 0.5, np.int8(0))
    second, more = qdq("z", "y", 0.25, np.int8(4))
    graph = load_onnx(model_of([*first, *second], [*numbers, *more], ["z"], ["N", 4]))
    assert [node.op.kind for node in graph] == ["Requantize"]
    assert graph.value("z").quant == Quant.per_tensor(0.25, 4)


def test_operators_that_only_move_integers_may_stand_between() -> None:
    (quantize, dequantize), numbers = qdq("y", "x", 0.5, np.int8(1))
    turn = helper.make_node("Transpose", ["y_q"], ["turned"], perm=[0, 2, 1])
    dequantize.input[0] = "turned"
    graph = load_onnx(model_of([quantize, turn, dequantize], numbers, ["y"], ["N", 3, 4]))
    assert all(graph.value(name).quant == Quant.per_tensor(0.5, 1) for name in (*graph.inputs, *graph.outputs))


def test_integer_inputs_take_reals() -> None:
    _, numbers = qdq("y", "x", 0.5, np.uint8(128))
    node = helper.make_node("DequantizeLinear", ["x", "y_scale", "y_zero"], ["y"])
    graph = load_onnx(model_of([node, helper.make_node("Relu", ["y"], ["z"])], numbers, ["z"], ["N", 4], TensorProto.UINT8))
    assert graph.value("x").quant == Quant.per_tensor(0.5, 0) and graph.value("x").dtype is DType.FLOAT32


def test_asymmetric_weights_are_refused() -> None:
    weight = numpy_helper.from_array(np.ones((4, 4), np.int8), "w")
    numbers = [weight, numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.int8(5), "z")]
    nodes = [helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wf"]), helper.make_node("MatMul", ["x", "wf"], ["y"])]
    with pytest.raises(UnsupportedError, match="asymmetrically"):
        load_onnx(model_of(nodes, numbers, ["y"], ["N", 4]))
