"""Factors by group of weights: closer than one scale a channel, integers that every int8 kernel computes, four bits in ONNX."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest

import edgewright
from edgewright.data import Data
from edgewright.emit.onnx import emit_onnx
from edgewright.ir.dtype import DType
from edgewright.ir.edit import GraphBuilder, rebuild
from edgewright.ir.graph import Constant, Graph, Structure
from edgewright.ir.serial import load_graph, save_graph
from edgewright.lower.integer import lower_integer
from edgewright.ops import Conv2D, Dense, Mean
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs
from edgewright.ops.levels import group_factors
from edgewright.passes.quantize.quantize_static import quantize_static
from edgewright.passes.quantize.round_weights import round_weights
from edgewright.passes.registry import Context
from edgewright.recipe import load_recipe
from edgewright.report.receipt import make_receipt
from edgewright.run.onnxruntime import run_onnxruntime
from edgewright.targets.target import load_target
from edgewright.train.module import from_module, to_module


def network() -> Graph:
    """A convolution of 1x1, one of 3x3 with int8 weights and a dense layer, whose input channels differ in size by blocks of 32."""
    random = np.random.default_rng(0)
    builder = GraphBuilder("net")

    def weights(name: str, *shape: int) -> str:
        array = random.standard_t(4, shape) / np.sqrt(np.prod(shape[1:]))
        if shape[-1] >= 32:
            array *= np.repeat(random.uniform(0.2, 2.0, shape[-1] // 32), 32)
        return builder.constant(name, array.astype(np.float32))

    x = builder.input("x", (None, 4, 4, 64))
    point = builder.node(Conv2D(activation="relu"), [x, weights("point/weight", 96, 1, 1, 64)], name="point")
    window = builder.node(Conv2D(activation="relu"), [point, weights("window/weight", 64, 3, 3, 96)], name="window")
    pooled = builder.node(Mean((1, 2), False), [window], name="pool")
    graph = builder.finish([builder.node(Dense(), [pooled, weights("last/weight", 10, 64)], name="last")])
    return rebuild(graph, constants={"window/weight": Constant(graph.array("window/weight"), Structure(bits=8))})


def samples(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    coarse = random.standard_normal((count, 4, 4, 8)).repeat(8, axis=-1)
    return (coarse + 0.5 * random.standard_normal((count, 4, 4, 64))).astype(np.float32)


def rounded(ctx: Context, group: int, **options: object) -> Graph:
    quantized = quantize_static(network(), ctx, weight_bits=4, weight_ranges="mse")
    return round_weights(quantized, ctx, group=group, **options)


def distance(quantized: Graph) -> float:
    inputs = [samples(64, 9)]
    (expected,) = evaluate(network(), inputs)
    integer = lower_integer(quantized, load_target("host"))
    (found,) = dequantize_outputs(integer, evaluate(integer, quantize_inputs(integer, inputs)))
    return float(np.square(found - expected).mean() / np.var(expected))


@pytest.mark.parametrize("method", ["descent", "gptq"])
def test_groups_come_closer_to_float_than_channels_alone(method: str) -> None:
    ctx = Context(data=Data((samples(128, 1),)))
    graph = rounded(ctx, 32, method=method)
    for name in ("point/weight", "last/weight"):
        constant, quant = graph.constants[name], graph.value(name).quant
        assert constant.structure is not None and constant.structure.group == 32 and quant is not None and quant.dtype is DType.INT8
        integers = quant.to_integer(constant.array)
        factors = group_factors(integers, 32)
        assert np.abs(integers).max() > 8 and len(np.unique(factors)) >= 2 and factors.max() <= 15
        assert (integers // factors).min() >= -8 and (integers // factors).max() <= 7
        np.testing.assert_array_equal(constant.array, quant.to_real(integers))
    assert graph.value("window/weight").quant.dtype is DType.INT8 and graph.constants["window/weight"].structure.group is None
    told = [line.detail for line in ctx.lines if line.action == "skipped" and line.where == "window"]
    assert told == ["no scales by group: only dense layers and 1x1 convolutions have scales by group"]
    assert distance(graph) < 0.8 * distance(rounded(ctx, 0, method=method))


def test_a_second_round_and_training_keep_the_groups() -> None:
    ctx = Context(data=Data((samples(64, 1),)))
    graph = rounded(ctx, 32)
    again = round_weights(graph, ctx, group=64)
    assert again.constants["point/weight"].structure.group == 32
    np.testing.assert_array_equal(again.array("point/weight"), graph.array("point/weight"))
    module = to_module(graph)
    assert "point.weight" not in {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    np.testing.assert_array_equal(from_module(module).array("point/weight"), graph.array("point/weight"))


def test_files_keep_the_groups_and_the_digest_knows_them(tmp_path) -> None:
    graph = rounded(Context(data=Data((samples(32, 1),))), 32)
    assert load_graph(save_graph(graph, tmp_path / "g.npz")).digest == graph.digest
    bare = Constant(graph.array("last/weight"), dataclasses.replace(graph.constants["last/weight"].structure, group=None))
    assert rebuild(graph, constants={"last/weight": bare}).digest != graph.digest


def test_onnx_holds_four_bits_in_blocks_and_gives_the_same() -> None:
    graph = rounded(Context(data=Data((samples(64, 1),))), 32)
    (contents,) = emit_onnx(graph).values()
    model = onnx.load_from_string(contents)
    blocked = [node for node in model.graph.node if any(attribute.name == "block_size" for attribute in node.attribute)]
    assert len(blocked) == 2
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for node in blocked:
        assert kinds[node.input[0]] == onnx.TensorProto.INT4
        assert np.prod(shapes[node.input[1]]) * 32 == np.prod(shapes[node.input[0]])
    inputs = [samples(8, 3)]
    (found,) = run_onnxruntime({"m.onnx": contents}, inputs, optimization="float").outputs
    (expected,) = evaluate(graph, inputs)
    step = graph.value(graph.outputs[0]).quant.scale[0]
    assert np.abs(found - expected).max() <= 1.01 * step and (np.abs(found - expected) < 0.01 * step).mean() > 0.95


def test_c_and_tflite_compute_them_with_int8_kernels(needs_cc: None) -> None:
    recipe = load_recipe("w4a8").with_options("round_weights", group=32)
    result = edgewright.optimize(network(), recipe=recipe, data=samples(64, 1))
    inputs = quantize_inputs(result.graph, [samples(4, 2)])
    np.testing.assert_array_equal(edgewright.measure(result, inputs).outputs[0], evaluate(result.graph, inputs)[0])
    made = make_receipt(result.graph, result.target, result.recipe, result.lines, result.program)
    (item,) = [item for layer in made.layers if layer.layer == "last" for item in layer.items if item.aspect == "weights"]
    assert item.kept and item.asked == "int4" and item.got == "int4 times a factor for each 32, in int8"


def test_layers_without_groups_say_why() -> None:
    ctx = Context(data=Data((samples(32, 1),)))
    graph = round_weights(quantize_static(network(), ctx), ctx, group=32)
    assert all(constant.structure is None or constant.structure.group is None for constant in graph.constants.values())
    told = {line.where: line.detail for line in ctx.lines if line.action == "skipped"}
    assert "int8 weights have no room for factors" in told["last"]
    rounded(ctx, 64)
    assert any("64 input channels are not several groups of 64" in line.detail for line in ctx.lines)
