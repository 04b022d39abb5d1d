"""ONNX files: what ONNX Runtime makes of them is what the graph computes, and QDQ files fuse into integer kernels."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from edgewright.data import Data
from edgewright.emit.onnx import emit_onnx
from edgewright.errors import RecipeError, UnsupportedError
from edgewright.frontends.torch import load_torch
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder, rebuild
from edgewright.ir.graph import Graph, Level, Node
from edgewright.lower.integer import lower_integer
from edgewright.ops import Conv2D, Dense, Transpose
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.run.onnxruntime import run_onnxruntime
from edgewright.targets.target import load_target
from tests.frontends.networks import CASES, torch_outputs
from tests.zoo import INTEGER_ZOO, ZOO, clean_zoo, integer_inputs, quantize_zoo, zoo_inputs

FUSED = {
    "QuantizeLinear",
    "DequantizeLinear",
    "Transpose",
    "Reshape",
    "MaxPool",
    "NhwcMaxPool",
    "Resize",
    "Concat",
    "Slice",
    "Squeeze",
    "Unsqueeze",
    "Split",
}
"""What may stand between integer kernels: it moves integers, or it is the edge of the network."""
ROUNDED_OTHERWISE = {"HardSwish": 5, "LeakyRelu": 1, "Mean": 2}
"""Steps by which the integer arithmetic of TensorFlow Lite differs from rounding the real result once, where that is more than 1."""


def parsed(files: dict[str, bytes]) -> onnx.ModelProto:
    (data,) = files.values()
    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    return model


def kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def optimized(files: dict[str, bytes], folder: Path) -> Counter[str]:
    """The operators that ONNX Runtime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(next(iter(files.values())), options, providers=["CPUExecutionProvider"])
    return kinds(onnx.load(folder / "optimized.onnx"))


@pytest.mark.parametrize("name", ZOO)
def test_float_files_compute_the_same(name: str) -> None:
    graph = ZOO[name]()
    files = emit_onnx(graph)
    own = sum(isinstance(node.op, Transpose) for node in graph)
    assert kinds(parsed(files))["Transpose"] <= own + (name == "means") + turns(graph)
    inputs = zoo_inputs(graph, 3)
    for ours, theirs in zip(evaluate(graph, inputs), run_onnxruntime(files, inputs).outputs, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5)


def turns(graph: Graph) -> int:
    """Transposes around recurrent operators, before which ONNX Runtime wants the time."""
    return 2 * sum(node.op.kind in ("LSTM", "GRU") for node in graph)


@pytest.mark.parametrize("name", CASES)
def test_torch_to_onnx_is_as_torch_sees_it(name: str) -> None:
    """Channels-first again, and hardly a Transpose on the whole road."""
    case = CASES[name]
    graph = load_torch(case.network(), case.inputs())
    files = emit_onnx(graph)
    model = parsed(files)
    own = sum(isinstance(node.op, Transpose) for node in graph) + turns(graph)
    assert kinds(model)["Transpose"] <= own + 2 * (name in ("keras", "sequence")) + (name == "transformer")
    session = onnxruntime.InferenceSession(next(iter(files.values())), providers=["CPUExecutionProvider"])
    inputs = case.inputs(2)
    if name == "keras":
        return
    feeds = {entry.name: tensor.numpy() for entry, tensor in zip(session.get_inputs(), inputs, strict=True)}
    for ours, theirs in zip(session.run(None, feeds), torch_outputs(case.network(), inputs), strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-5)


def recorded(graph: Graph, inputs: list[NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """All values of an integer graph."""
    found: dict[str, NDArray[np.generic]] = {}
    evaluate(graph, inputs, observe=lambda value, x: found.update({value.name: x.numpy().astype(value.dtype.numpy)}))
    return found


def alone(graph: Graph, node: Node) -> Graph:
    """One node of ``graph`` as a graph."""
    sources = [name for name in dict.fromkeys(node.inputs) if not graph.is_constant(name)]
    return rebuild(graph, nodes=[node], inputs=sources, outputs=node.outputs, states=[])


@pytest.mark.parametrize("activations", ["int8", "uint8"])
@pytest.mark.parametrize("name", ZOO)
def test_integer_layers_agree_within_a_step(name: str, activations: str) -> None:
    """Each node of its own, on the integers that it meets in the network."""
    graph = ZOO[name]()
    integer = quantize_zoo(graph)
    values = recorded(integer, integer_inputs(graph, integer, 4))
    for node in integer:
        layer = alone(integer, node)
        if not layer.inputs or not set(layer.inputs) <= values.keys():
            continue
        files = emit_onnx(layer, activations=activations)
        parsed(files)
        found = run_onnxruntime(files, [values[source] for source in layer.inputs]).outputs[0]
        assert found.dtype == np.int8
        steps = np.abs(found.astype(int) - values[node.outputs[0]].astype(int)).max()
        assert steps <= ROUNDED_OTHERWISE.get(node.op.kind, 1), f"{node.op.kind} {node.name}: {steps} steps"


@pytest.mark.parametrize("name", INTEGER_ZOO)
def test_integer_only_graphs(name: str) -> None:
    graph = INTEGER_ZOO[name]()
    inputs = zoo_inputs(graph, 4)
    for ours, theirs in zip(evaluate(graph, inputs), run_onnxruntime(emit_onnx(graph), inputs).outputs, strict=True):
        quant = next((graph.value(source).quant for node in graph if node.op.kind == "Dequantize" for source in node.inputs), None)
        assert np.abs(ours.astype(float) - theirs).max() <= 3 * (1.0 if quant is None else 1.01 * quant.scale[0])


@pytest.mark.parametrize(
    "name", ["conv_same_relu", "inverted_bottleneck", "residual_batch_norm", "separable_keyword_spotter", "unet", "dense_autoencoder"]
)
def test_uint8_files_fuse_into_integer_kernels(name: str, tmp_path: Path) -> None:
    integer = quantize_zoo(ZOO[name](), clean=True)
    found = optimized(emit_onnx(integer, activations="uint8"), tmp_path)
    assert not {kind for kind in found if not kind.startswith("QLinear") and kind not in FUSED | {"QGemm"}}, found


def test_integer_kernels_compute_the_same() -> None:
    """With weights of 7 bits, whose products no kernel saturates, on any processor."""
    graph = clean_zoo(ZOO["inverted_bottleneck"]())
    quantized = load_passes()["quantize_static"].function(graph, Context(data=_data(graph)))
    weights = {node.inputs[index] for node in quantized for index in node.op.weight_inputs}
    biases = {node.inputs[2]: node.inputs[0] for node in quantized if node.op.weight_inputs and len(node.inputs) > 2}
    halved = []
    for value in quantized.values.values():
        if value.name in weights | set(biases):
            assert value.quant is not None
            halved.append(
                dataclasses.replace(value, quant=dataclasses.replace(value.quant, scale=tuple(2 * scale for scale in value.quant.scale)))
            )
    integer = lower_integer(rebuild(quantized, values=halved), load_target("cortex-m4"))
    inputs = integer_inputs(graph, integer, 30)
    fused = run_onnxruntime(emit_onnx(integer, activations="uint8"), inputs, optimization="all").outputs[0]
    assert np.abs(fused.astype(int) - evaluate(integer, inputs)[0].astype(int)).max() <= 3


def _data(graph: Graph) -> Data:
    return Data(tuple(np.asarray(array, np.float32) for array in zoo_inputs(graph, 64)))


def test_dynamic_range_rounds_activations_at_run_time() -> None:
    graph = ZOO["dense_autoencoder"]()
    dynamic = load_passes()["quantize_dynamic"].function(graph, Context(), minimum_elements=16)
    assert dynamic.level is Level.QUANTIZED
    files = emit_onnx(dynamic)
    assert kinds(parsed(files))["DynamicQuantizeLinear"] == kinds(parsed(files))["MatMulInteger"] > 0
    inputs = zoo_inputs(graph, 16)
    ours, theirs = evaluate(dynamic, inputs)[0], run_onnxruntime(files, inputs).outputs[0]
    assert np.abs(ours - theirs).max() <= 0.05 * np.abs(ours).max()
    images = ZOO["conv_grouped"]()
    weights = load_passes()["quantize_dynamic"].function(images, Context(), minimum_elements=1)
    inputs = zoo_inputs(images, 3)
    np.testing.assert_allclose(run_onnxruntime(emit_onnx(weights), inputs).outputs[0], evaluate(weights, inputs)[0], rtol=1e-4, atol=1e-4)


def test_half_precision_weights_are_half_as_large() -> None:
    graph = ZOO["inverted_bottleneck"]()
    half = load_passes()["quantize_float16"].function(graph, Context())
    files, full = emit_onnx(half), emit_onnx(graph)
    stored = sum(len(tensor.raw_data) for tensor in parsed(files).graph.initializer if tensor.data_type != onnx.TensorProto.INT64)
    before = sum(len(tensor.raw_data) for tensor in parsed(full).graph.initializer if tensor.data_type != onnx.TensorProto.INT64)
    assert stored < 0.55 * before
    inputs = zoo_inputs(graph, 3)
    np.testing.assert_allclose(run_onnxruntime(files, inputs).outputs[0], evaluate(half, inputs)[0], rtol=1e-4, atol=1e-5)


def test_int4_weights_and_int16_activations_need_a_later_opset() -> None:
    rng = np.random.default_rng(3)
    build = GraphBuilder("narrow", Level.INTEGER)
    wide = Quant.per_tensor(0.001, 0, DType.INT16)
    x = build.input("x", (None, 6, 5, 3), DType.INT16, wide)
    scales = rng.uniform(0.02, 0.05, 4).astype(np.float32)
    weight = build.constant(
        "weight", rng.integers(-7, 8, (4, 3, 3, 3), dtype=np.int8), dtype=DType.INT4, quant=Quant.per_axis(scales, 0, DType.INT4)
    )
    y = build.node(
        Conv2D(padding=((1, 1), (1, 1))), [x, weight], name="conv", dtype=DType.INT16, quants=[Quant.per_tensor(0.002, 0, DType.INT16)]
    )
    graph = build.finish([y])
    model = parsed(emit_onnx(graph))
    assert model.opset_import[0].version == 21
    assert onnx.TensorProto.INT4 in {tensor.data_type for tensor in model.graph.initializer}
    inputs = zoo_inputs(graph, 2)
    real = [wide.to_real(inputs[0]).transpose(0, 3, 1, 2)]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    kernel = torch.from_numpy(graph.value("weight").quant.to_real(graph.array("weight")).transpose(0, 3, 1, 2).copy())  # type: ignore[union-attr]
    expected = torch.nn.functional.conv2d(torch.from_numpy(real[0].copy()), kernel, padding=1)
    np.testing.assert_allclose(session.run(None, {"x": real[0]})[0], expected.numpy(), atol=0.0011)


def test_states_are_inputs_and_outputs() -> None:
    graph = ZOO["streaming"]()
    model = parsed(emit_onnx(graph))
    assert [entry.name for entry in model.graph.input] == ["frame", "past", "level"]
    assert len(model.graph.output) == len(graph.outputs) + len(graph.states)


def test_names_shapes_and_opset() -> None:
    graph = ZOO["multi_output"]()
    model = parsed(emit_onnx(graph))
    assert [entry.name for entry in model.graph.input] == list(graph.inputs)
    assert [entry.name for entry in model.graph.output] == list(graph.outputs)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert model.opset_import[0].version == 17
    assert list(emit_onnx(graph)) == ["multi_output.onnx"]
    assert emit_onnx(graph) == emit_onnx(graph)


def test_images_are_channels_first() -> None:
    build = GraphBuilder("image")
    weight = build.constant("w", np.ones((5, 3, 3, 2), np.float32))
    graph = build.finish([build.node(Conv2D(), [build.input("x", (2, 8, 7, 2)), weight], name="y")])
    model = parsed(emit_onnx(graph))
    shapes = [[axis.dim_value for axis in entry.type.tensor_type.shape.dim] for entry in (*model.graph.input, *model.graph.output)]
    assert shapes == [[2, 2, 8, 7], [2, 5, 6, 5]]


def test_a_flattened_image_permutes_the_weights_of_the_dense_layer() -> None:
    graph = load_torch(CASES["flattened"].network(), CASES["flattened"].inputs())
    assert kinds(parsed(emit_onnx(graph)))["Transpose"] == 0


def test_what_cannot_be_written() -> None:
    graph = ZOO["conv_same_relu"]()
    with pytest.raises(RecipeError, match="float8"):
        emit_onnx(graph, activations="float8")
    build = GraphBuilder("asymmetric", Level.INTEGER)
    x = build.input("x", (None, 4), DType.INT8, Quant.per_tensor(0.1, 0))
    weight = build.constant("w", np.ones((2, 4), np.int8), quant=Quant(DType.INT8, (0.1,), (3,)))
    wrong = build.finish([build.node(Dense(), [x, weight], quants=[Quant.per_tensor(0.1, 0)], dtype=DType.INT8)])
    with pytest.raises(UnsupportedError, match="zero points"):
        emit_onnx(wrong)
