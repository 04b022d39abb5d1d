"""Networks of int16 activations: every emitter gives the bytes of the integer evaluation, on the whole zoo, wherever its files run."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from edgewright.emit.onnx import emit_onnx
from edgewright.emit.tflite import ABSENT, FLOAT_ONLY, WITHOUT_TFLM_KERNEL, emit_tflite
from edgewright.errors import ToolError, UnsupportedError
from edgewright.frontends.onnx import load_onnx
from edgewright.frontends.tflite import load_tflite
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.lower.integer import lower_integer
from edgewright.ops import Conv2D, Dense, DepthwiseConv2D, Dequantize, Quantize
from edgewright.ops.evaluate import evaluate
from edgewright.run.litert import run_litert
from edgewright.run.onnxruntime import run_onnxruntime
from edgewright.run.tflm import run_tflm
from edgewright.targets.target import load_target
from tests.contract.animals import cleaned, original
from tests.contract.parade import parade
from tests.contract.test_emitters import Arrays, check, kinds, on_device, on_host
from tests.zoo import ZOO, integer_inputs, quantize_zoo, zoo_inputs

INT8_ALONE_IN_TFLM = {"padding_kinds", "resizing", "unet"}
"""They pad by mirroring, or interpolate, for which TFLM has no int16 kernel; LiteRT does."""
SHOWN = ["conv_grouped", "depthwise_multiplier", "transpose_convolution", "dense_on_sequence", "pooling", "means", "attention",
         "activations", "prelu", "resizing", "padding_kinds", "streaming", "gelu_mixer"]
"""Animals that among them call every kernel."""


@cache
def wide_graph(name: str, clean: bool = True, weights: int = 8) -> Graph:
    graph = quantize_zoo(cleaned(name) if clean else original(name), weight_bits=weights, activation_bits=16)
    return dataclasses.replace(graph, name=f"{name}_w{weights}{'' if clean else '_plain'}")


@cache
def wide_inputs(name: str, clean: bool = True, weights: int = 8) -> Arrays:
    graph = wide_graph(name, clean, weights)
    real = integer_inputs(original(name), graph, 3)
    return [np.concatenate([first, second]) for first, second in zip(real, zoo_inputs(graph, 2, seed=9), strict=True)]


def together(names: list[str], clean: bool = True, weights: int = 8) -> tuple[Graph, Arrays]:
    graph = parade([wide_graph(name, clean, weights) for name in names], "parade")
    return graph, [array for name in names for array in wide_inputs(name, clean, weights)]


def float_edges() -> Graph:
    """Reals in and out of a network of int16."""
    rng = np.random.default_rng(51)
    build = GraphBuilder("float_edges_wide", Level.INTEGER)
    first, second = (Quant.per_tensor(scale, 0, DType.INT16) for scale in (1e-4, 3e-4))
    x = build.node(Quantize(), [build.input("x", (None, 10))], name="quantize", dtype=DType.INT16, quants=[first])
    scales = rng.uniform(0.002, 0.02, 4).astype(np.float32)
    weight = build.constant("weight", rng.integers(-127, 128, (4, 10), dtype=np.int8), quant=Quant.per_axis(scales, 0))
    x = build.node(Dense("relu"), [x, weight], name="dense", quants=[second])
    return build.finish([build.node(Dequantize(), [x], name="dequantize", dtype=DType.FLOAT32)])


def in_tflite(name: str, clean: bool) -> None:
    graph, arrays = wide_graph(name, clean), wide_inputs(name, clean)
    if kinds(graph) & (FLOAT_ONLY | ABSENT):
        with pytest.raises(UnsupportedError):
            emit_tflite(graph)
        return
    files = emit_tflite(graph)
    if name in INT8_ALONE_IN_TFLM or kinds(graph) & WITHOUT_TFLM_KERNEL:
        with pytest.raises(ToolError):
            run_tflm(files, arrays)
        if name in INT8_ALONE_IN_TFLM:
            check(graph, arrays, run_litert(files, arrays))
    else:
        check(graph, arrays, run_tflm(files, arrays))
    (data,) = files.values()
    again = load_tflite(data)
    for wanted, got in zip(evaluate(graph, arrays), evaluate(again, arrays), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", ZOO)
def test_tflite_is_tflm_s_and_reads_back(name: str, needs_tflite_micro: None) -> None:
    in_tflite(name, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_tflite_of_the_zoo_as_it_is(name: str, needs_tflite_micro: None) -> None:
    in_tflite(name, False)


def test_c_on_this_computer_under_the_sanitizers(needs_cc: None) -> None:
    graph, arrays = together(SHOWN)
    edges = float_edges()
    on_host(parade([graph, edges], "both"), [*arrays, *zoo_inputs(edges, 5)])


def test_reals_at_the_edges_are_tflm_s(needs_tflite_micro: None) -> None:
    graph, x = float_edges(), zoo_inputs(float_edges(), 9)
    check(graph, x, run_tflm(emit_tflite(graph), x))


@pytest.mark.slow
@pytest.mark.parametrize(("core", "weights"), [("cortex-m0plus", 8), ("cortex-m4", 8), ("cortex-m4", 16), ("cortex-m55", 8)])
def test_c_on_cortex_m(core: str, weights: int, needs_arm: None) -> None:
    on_device(*together(SHOWN, weights=weights), load_target(core))


@pytest.mark.slow
def test_c_on_risc_v(needs_riscv: None) -> None:
    on_device(*together(SHOWN), load_target("rv32imac"))


@pytest.mark.parametrize(("name", "steps"), [("residual_batch_norm", 3), ("inverted_bottleneck", 3), ("means", 3), ("padding_kinds", 3),
                                             ("pooled_by_attention", 256)])
def test_qdq_is_near_in_onnx_runtime_and_reads_back(name: str, steps: int) -> None:
    """In steps of int16, of which 256 are one of int8: TFLM's exponentials are interpolated."""
    graph, arrays = wide_graph(name), wide_inputs(name)
    (data,) = emit_onnx(graph).values()
    wanted = evaluate(graph, arrays)
    for exact, got in zip(wanted, run_onnxruntime({"m.onnx": data}, arrays).outputs, strict=True):
        assert got.dtype == np.int16 and np.abs(got.astype(np.int64) - exact).max() <= steps
    for exact, got in zip(wanted, evaluate(lower_integer(load_onnx(data), load_target("cortex-m4")), arrays), strict=True):
        np.testing.assert_array_equal(got, exact)


def test_activations_are_int16_but_around_what_has_no_such_form() -> None:
    for name in ZOO:
        graph = wide_graph(name)
        for node in graph.nodes:
            types = {graph.value(value).dtype for value in (node.inputs[0], node.outputs[0])}
            wanted = {DType.INT16} if node.op.takes_int16 else {DType.INT8}
            assert types == wanted or node.op.kind == "Requantize", (name, node.name)


def test_weights_of_16_bits_are_refused_in_tflite() -> None:
    with pytest.raises(UnsupportedError, match="int16, which no kernel of .tflite takes") as caught:
        emit_tflite(wide_graph("conv_1d", True, 16))
    assert "w8a16" in caught.value.hint


def test_weights_of_16_bits_lose_next_to_nothing() -> None:
    name = "residual_batch_norm"
    x = zoo_inputs(original(name), 20, seed=5)
    (wanted,) = evaluate(original(name), x)
    losses = []
    for weights in (8, 16):
        graph = wide_graph(name, True, weights)
        (got,) = evaluate(graph, integer_inputs(original(name), graph, 20, seed=5))
        losses.append(float(np.abs(graph.value(graph.outputs[0]).quant.to_real(got) - wanted).max() / np.abs(wanted).max()))
    assert losses[1] < 2e-3 < losses[0]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_few_channels_alone(channels: int, needs_arm: None) -> None:
    """Less than the channels that kernels with DSP instructions take at a time: nothing else in the network to take them."""
    rng = np.random.default_rng(channels)
    builder = GraphBuilder(f"few_{channels}")
    x = builder.input("x", (None, 6, 6, channels))
    for make, shape in ((DepthwiseConv2D(), (channels, 3, 3, 1)), (Conv2D(), (1, 2, 2, channels))):
        weight = builder.constant("weight", rng.normal(size=shape).astype(np.float32))
        x = builder.node(make, [x, weight])
    graph = quantize_zoo(builder.finish([x]), weight_bits=8, activation_bits=16)
    on_device(graph, zoo_inputs(graph, 2), load_target("cortex-m4"))
