"""ONNX files that lie: one clear error with a hint, soon, and nothing read that does not belong to the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.fuzz import FORMATS, fuzz
from benchmarks.fuzz_onnx import onnx_seeds
from edgewright.errors import EdgewrightError, ModelError
from edgewright.frontends.onnx import load_onnx


def model_of(
    nodes: list[onnx.NodeProto], numbers: list[onnx.TensorProto], *, shape: tuple[int | str, ...] = ("N", 4), opset: int = 17
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "bad",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        numbers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


RELU = helper.make_node("Relu", ["x"], ["y"])


def outside(**entries: str) -> onnx.ModelProto:
    """A model whose weight lies in another file."""
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    return model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], [weight])


def huge() -> onnx.TensorProto:
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40, 1 << 40], raw_data=b"1234")


CASES: dict[str, tuple[onnx.ModelProto | bytes, str]] = {
    "empty": (b"", "no ONNX graph"),
    "text": (b"This is not a model at all, whatever it is called.", "not an ONNX model"),
    "old opset": (model_of([RELU], [], opset=9), "opset 9"),
    "cycle": (
        model_of(
            [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Relu", ["b"], ["y"])], []
        ),
        "cycle",
    ),
    "nothing computes it": (model_of([helper.make_node("Add", ["x", "nowhere"], ["y"])], []), "nowhere"),
    "two sources": (model_of([RELU, RELU], []), "two sources"),
    "no such output": (model_of([helper.make_node("Relu", ["x"], ["z"])], []), "'y' is never computed"),
    "huge constant": (model_of([helper.make_node("Add", ["x", "w"], ["y"])], [huge()]), "GiB"),
    "short constant": (
        model_of([helper.make_node("Add", ["x", "w"], ["y"])], [TensorProto(name="w", data_type=1, dims=[4], raw_data=b"12")]),
        "2 bytes, not 16",
    ),
    "negative size": (model_of([helper.make_node("Add", ["x", "w"], ["y"])], [TensorProto(name="w", data_type=1, dims=[-4])]), r"\[-4\]"),
    "huge input": (model_of([RELU], [], shape=("N", 1 << 40)), "shape"),
    "huge constant of shape": (
        model_of(
            [helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])],
            [numpy_helper.from_array(np.asarray([1 << 30, 1 << 30]), "s")],
        ),
        "makes a constant",
    ),
    "huge range": (
        model_of(
            [helper.make_node("Range", ["a", "b", "c"], ["r"]), helper.make_node("Add", ["x", "r"], ["y"])],
            [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in (("a", 0), ("b", 1e30), ("c", 1e-3))],
        ),
        "constant",
    ),
    "dynamic size": (model_of([RELU], [], shape=("N", "W")), "no fixed size"),
    "wrong axes": (model_of([helper.make_node("Softmax", ["x"], ["y"], axis=7)], []), "axis 7"),
    "sizes that do not fit": (
        model_of([helper.make_node("Add", ["x", "w"], ["y"])], [numpy_helper.from_array(np.ones(3, np.float32), "w")]),
        "broadcast",
    ),
    "no memory for this reshape": (
        model_of([helper.make_node("Reshape", ["x", "s"], ["y"])], [numpy_helper.from_array(np.asarray([1 << 62, 1 << 62]), "s")]),
        "reshaped",
    ),
    "external data without a folder": (outside(location="weights.bin"), "another file"),
}


@pytest.mark.parametrize("name", CASES)
def test_one_clear_error(name: str) -> None:
    source, message = CASES[name]
    with pytest.raises(EdgewrightError, match=message) as caught:
        load_onnx(source if isinstance(source, bytes) else source.SerializeToString())
    assert caught.value.hint


def test_external_data_lies_in_the_models_folder(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    path = tmp_path / "inside" / "model.onnx"
    weights = np.arange(16, dtype=np.float32)
    (tmp_path / "inside" / "weights.bin").write_bytes(b"head" + weights.tobytes())
    (tmp_path / "secret.bin").write_bytes(weights.tobytes())
    (tmp_path / "inside" / "link.bin").symlink_to(tmp_path / "secret.bin")
    path.write_bytes(outside(location="weights.bin", offset="4", length="64").SerializeToString())
    graph = load_onnx(path)
    assert np.array_equal(graph.array("w"), weights.reshape(4, 4).T)
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), "link.bin", "missing.bin", ".", ""):
        path.write_bytes(outside(location=location).SerializeToString())
        with pytest.raises(ModelError, match="no file in the model's folder"):
            load_onnx(path)
    for entries in ({"offset": "60"}, {"offset": "-4"}, {"length": "32"}, {"offset": "x"}):
        path.write_bytes(outside(location="weights.bin", **entries).SerializeToString())
        with pytest.raises(ModelError):
            load_onnx(path)


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read missing.onnx"):
        load_onnx(tmp_path / "missing.onnx")


def test_truncated_files() -> None:
    (data,) = onnx_seeds(Path("nowhere"))
    for length in range(0, len(data), 97):
        with pytest.raises(EdgewrightError):
            load_onnx(data[:length])


def test_mutated_files() -> None:
    outcome = fuzz(FORMATS["onnx"], onnx_seeds(Path("nowhere")), 400, seed=5)
    assert not outcome.failures
    assert outcome.ends["a graph"] > 20
