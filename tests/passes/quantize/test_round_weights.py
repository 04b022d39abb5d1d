"""Weights rounded by the layers' outputs: closer to float than the nearest integers, masks and codebooks kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

import edgewright
from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType
from edgewright.ir.edit import GraphBuilder, rebuild
from edgewright.ir.graph import Graph, Level, Structure
from edgewright.lower.integer import lower_integer
from edgewright.ops import Add, Conv2D, Dense, DepthwiseConv2D, Mean, TransposeConv2D
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs, quantized_constant
from edgewright.ops.levels import LEVELS, weight_levels
from edgewright.passes.quantize.quantize_static import quantize_static
from edgewright.passes.quantize.round_weights import round_weights
from edgewright.passes.registry import Context
from edgewright.targets.stored import stored
from edgewright.targets.target import load_target

PADDED = ((1, 1), (1, 1))


def network(bias: bool = True) -> Graph:
    """A residual block with a depthwise layer, a convolution and a dense layer, on smooth random pictures."""
    random = np.random.default_rng(0)
    builder = GraphBuilder("net")

    def layer(op: Conv2D | DepthwiseConv2D | Dense, x: str, name: str, *shape: int) -> str:
        weight = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        inputs = [x, builder.constant(f"{name}/weight", weight.astype(np.float32))]
        if bias:
            inputs.append(builder.constant(f"{name}/bias", (0.1 * random.standard_normal(shape[0])).astype(np.float32)))
        return builder.node(op, inputs, name=name)

    x = builder.input("x", (None, 8, 8, 3))
    first = layer(Conv2D(padding=PADDED, activation="relu"), x, "first", 8, 3, 3, 3)
    deep = layer(DepthwiseConv2D(padding=PADDED, activation="relu"), first, "deep", 8, 3, 3, 1)
    both = builder.node(Add(activation="relu"), [first, layer(Conv2D(), deep, "point", 8, 1, 1, 8)], name="add")
    wide = layer(Conv2D(padding=PADDED, activation="relu"), both, "wide", 8, 3, 3, 8)
    pooled = builder.node(Mean((1, 2), False), [wide], name="pool")
    return builder.finish([layer(Dense(), pooled, "last", 5, 8)])


def pictures(count: int, seed: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    random = np.random.default_rng(seed)
    coarse = random.standard_normal((count, 4, 4, 3)).repeat(2, axis=1).repeat(2, axis=2)
    return (coarse + 0.2 * random.standard_normal((count, 8, 8, 3))).astype(np.float32)


def distance(graph: Graph, quantized: Graph) -> float:
    """The squared error of the integer network's outputs on pictures that calibration did not see, against their variance."""
    inputs = [pictures(64, seed=9)]
    (expected,) = evaluate(graph, inputs)
    integer = lower_integer(quantized, load_target("host"))
    (found,) = dequantize_outputs(integer, evaluate(integer, quantize_inputs(integer, inputs)))
    return float(np.square(found - expected).mean() / np.var(expected))


@pytest.mark.parametrize(("weights", "activations"), [(2, 8), (3, 8), (4, 8), (4, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_come_closer_to_float(weights: int, activations: int, bias: bool) -> None:
    graph = network(bias)
    ctx = Context(data=Data((pictures(128),)))
    options = {"weight_bits": weights, "activation_bits": activations, "weight_ranges": "mse"}
    nearest = quantize_static(graph, ctx, **options)
    rounded = round_weights(nearest, ctx)
    assert rounded.level is Level.QUANTIZED
    assert distance(graph, rounded) < 0.7 * distance(graph, nearest)


def test_gptq_keeps_the_scales_and_beats_the_nearest_integers() -> None:
    graph, ctx = network(), Context(data=Data((pictures(128),)))
    nearest = quantize_static(graph, ctx, weight_bits=4, weight_ranges="mse")
    rounded = round_weights(nearest, ctx, method="gptq")
    names = [f"{name}/weight" for name in ("first", "deep", "point", "wide", "last")]
    assert all(rounded.value(name).quant == nearest.value(name).quant for name in names)
    assert any(not np.array_equal(quantized_constant(nearest, name), quantized_constant(rounded, name)) for name in names)
    assert distance(graph, rounded) < 0.8 * distance(graph, nearest)


def masked_and_clustered() -> tuple[Graph, NDArray[np.bool_]]:
    """The network with half of the first weights at zero, and few values in the 1x1 layer; and the mask."""
    graph = network()
    mask = np.random.default_rng(3).random((8, 3, 3, 3)) < 0.5
    sparse = dataclasses.replace(graph.constants["first/weight"], array=graph.array("first/weight") * mask, structure=Structure(mask=mask))
    codebook = np.asarray([-0.5, 0.0, 0.25], np.float32)
    shared = codebook[np.random.default_rng(4).integers(0, 3, (8, 1, 1, 8))]
    clustered = dataclasses.replace(graph.constants["point/weight"], array=shared, structure=Structure(codebook=codebook))
    return rebuild(graph, constants={"first/weight": sparse, "point/weight": clustered}), mask


def test_masks_keep_their_zeros_and_codebooks_their_numbers() -> None:
    graph, mask = masked_and_clustered()
    ctx = Context(data=Data((pictures(128),)))
    rounded = round_weights(quantize_static(graph, ctx, weight_bits=4), ctx)
    assert not rounded.array("first/weight")[~mask].any() and rounded.array("first/weight")[mask].any()
    kept = rounded.constants["first/weight"].structure
    assert kept is not None and kept.mask is not None
    for row in rounded.array("point/weight"):
        assert len(np.unique(row)) <= 3


@pytest.mark.parametrize("levels", LEVELS)
def test_few_levels_with_the_scales_that_make_them_work(levels: str) -> None:
    """Closer to float than the scale of each row's weights alone, which is what XNOR-Net and TWN take."""
    graph, data = network(), Data((pictures(128),))
    quantized = quantize_static(graph, Context(data=data), weight_bits=2, edge_bits=8)
    rounded = round_weights(quantized, Context(data=data), levels=levels)
    inner = ["wide/weight"]
    assert [name for name in graph.constants if weight_levels(rounded, name)] == inner
    assert all(rounded.value(f"{name}/weight").quant.dtype is DType.INT8 for name in ("first", "deep", "point", "last"))
    alone = rounded
    for name in inner:
        integers = lower_integer(rounded, load_target("host")).array(name)
        assert set(np.unique(integers)) == set(LEVELS[levels])
        old = graph.array(name).reshape(len(integers), -1)
        signs = _nearest(old, np.asarray(LEVELS[levels], np.float32))
        scale = ((signs * old).sum(1) / np.square(signs).sum(1)).astype(np.float32)
        quant = dataclasses.replace(rounded.value(name).quant, scale=tuple(scale))
        constant = dataclasses.replace(graph.constants[name], array=quant.to_real(signs.reshape(integers.shape)))
        alone = rebuild(alone, constants={name: constant}, values=[dataclasses.replace(rounded.value(name), quant=quant)])
    assert distance(graph, rounded) < 0.7 * distance(graph, alone)


def _nearest(rows: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Levels for ``rows`` under the scale of least squared error, found by trying: (O, n)."""
    tried = np.linspace(0.02, 1.2, 200)[:, None, None] * np.abs(rows).max(1, keepdims=True)
    found = levels[np.abs(rows[..., None] - tried[..., None] * levels).argmin(-1)]
    best = np.square(found * tried - rows).sum(-1).argmin(0)
    return np.stack([found[which, row] for row, which in enumerate(best)])


def test_pruned_weights_have_a_zero_level_and_what_has_no_window_is_rounded_alone() -> None:
    graph, ctx = network(), Context(data=Data((pictures(128),)))
    mask = np.random.default_rng(3).random((8, 1, 1, 8)) < 0.5
    sparse = dataclasses.replace(graph.constants["point/weight"], array=graph.array("point/weight") * mask, structure=Structure(mask=mask))
    graph = rebuild(graph, constants={"point/weight": sparse})
    rounded = round_weights(quantize_static(graph, ctx, weight_bits=2), ctx, levels="binary")
    assert weight_levels(rounded, "point/weight") == (-1, 0, 1) and weight_levels(rounded, "deep/weight") == (-1, 1)
    assert not rounded.array("point/weight")[~mask].any() and rounded.constants["point/weight"].structure.mask is not None
    assert any(line.where == "point" and "ternary ones instead" in line.detail for line in ctx.lines)
    builder = GraphBuilder("net")
    weight = np.random.default_rng(0).standard_normal((3, 2, 2, 2)).astype(np.float32)
    x = builder.input("x", (None, 4, 4, 2))
    graph = builder.finish([builder.node(TransposeConv2D(stride=(2, 2)), [x, builder.constant("w", weight)], name="up")])
    ctx = Context(data=Data((np.random.default_rng(1).standard_normal((8, 4, 4, 2)).astype(np.float32),)))
    found = round_weights(quantize_static(graph, ctx, weight_bits=2), ctx, levels="binary")
    np.testing.assert_allclose(found.value("w").quant.scale, np.abs(weight.reshape(3, -1)).mean(1), rtol=1e-5)
    np.testing.assert_array_equal(np.sign(found.array("w")), np.sign(weight))


def test_what_is_no_product_over_a_window_is_told() -> None:
    builder = GraphBuilder("net")
    x = builder.input("x", (None, 4, 4, 2))
    weight = builder.constant("w", np.random.default_rng(0).standard_normal((3, 2, 2, 2)).astype(np.float32))
    graph = builder.finish([builder.node(TransposeConv2D(stride=(2, 2)), [x, weight], name="up")])
    ctx = Context(data=Data((np.random.default_rng(1).standard_normal((8, 4, 4, 2)).astype(np.float32),)))
    quantized = quantize_static(graph, ctx, weight_bits=4)
    assert round_weights(quantized, ctx) is quantized
    assert any(line.action == "skipped" and line.where == "up" for line in ctx.lines)


def test_an_int8_network_is_not_hurt() -> None:
    graph = network()
    ctx = Context(data=Data((pictures(128),)))
    nearest = quantize_static(graph, ctx)
    assert distance(graph, round_weights(nearest, ctx)) <= 1.1 * distance(graph, nearest)


def test_the_recipes_give_integer_networks_of_their_width() -> None:
    for name, dtype in (("w4a8", DType.INT4), ("w3a8", DType.INT3)):
        result = edgewright.optimize(network(), recipe=name, data=pictures(32), formats=["tflite"])
        weights = [name for node in result.graph.nodes for name in node.inputs[1:2] if node.op.weight_inputs]
        assert {result.graph.value(name).dtype for name in weights} == {dtype}


def test_narrow_weights_run_in_c_as_bytes_and_the_report_says_so(needs_cc: None) -> None:
    result = edgewright.optimize(network(), recipe="w4a8", data=pictures(32))
    assert result.program is not None
    assert {value.dtype for name, value in result.program.graph.values.items() if name in result.program.graph.constants} <= {
        DType.INT8,
        DType.INT32,
    }
    assert any(line.technique == "c" and "int4" in line.detail for line in result.lines)
    inputs = quantize_inputs(result.graph, [pictures(4, seed=2)])
    np.testing.assert_array_equal(edgewright.measure(result, inputs).outputs[0], evaluate(result.graph, inputs)[0])


@pytest.mark.parametrize(("recipe", "bits"), [("ternary-a8", 2), ("binary-a8", 1)])
def test_few_levels_are_packed_and_give_the_same_bytes(recipe: str, bits: int, needs_cc: None) -> None:
    result = edgewright.optimize(network(), recipe=recipe, data=pictures(32))
    assert result.program is not None
    graph = result.program.graph
    (wide,) = [node for node in graph.nodes if node.name == "wide"]
    for kernels in (("portable",), ("dsp", "portable"), ("size", "portable")):
        found = stored(graph, wide, kernels)
        assert found is not None and found.bits == bits
    inputs = quantize_inputs(result.graph, [pictures(4, seed=2)])
    np.testing.assert_array_equal(edgewright.measure(result, inputs).outputs[0], evaluate(result.graph, inputs)[0])


def test_senseless_options_are_refused() -> None:
    ctx = Context(data=Data((pictures(8),)))
    with pytest.raises(RecipeError, match="samples 0"):
        round_weights(quantize_static(network(), ctx), ctx, samples=0)
    with pytest.raises(RecipeError, match="unknown levels 'octal'"):
        round_weights(quantize_static(network(), ctx), ctx, levels="octal")
    with pytest.raises(RecipeError, match="edge_bits is 5"):
        quantize_static(network(), ctx, edge_bits=5)
    with pytest.raises(RecipeError, match="unknown method 'obq'"):
        round_weights(quantize_static(network(), ctx), ctx, method="obq")
    with pytest.raises(RecipeError, match="group 1"):
        round_weights(quantize_static(network(), ctx), ctx, group=1)
    with pytest.raises(RecipeError, match="weight_bits is 5"):
        quantize_static(network(), ctx, weight_bits=5)
    with pytest.raises(RecipeError, match="unknown range method"):
        quantize_static(network(), ctx, weight_ranges="best")


def test_data_that_never_vary_are_no_obstacle() -> None:
    ctx = Context(data=Data((np.full((16, 8, 8, 3), 0.7, np.float32),)))
    graph = network()
    rounded = round_weights(quantize_static(graph, ctx, weight_bits=4), ctx)
    inputs = [np.full((2, 8, 8, 3), 0.7, np.float32)]
    (wanted,), (found,) = evaluate(graph, inputs), evaluate(rounded, inputs)
    np.testing.assert_allclose(found, wanted, atol=0.05 * float(np.abs(wanted).max()))
