"""Learned rounding, by blocks and by layers: closer to float than its start, the same every time; what is known of weights stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.analysis.linear import linear
from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph, Level
from edgewright.lower.integer import lower_integer
from edgewright.numerics.scales import bias_scales
from edgewright.ops.evaluate import evaluate
from edgewright.ops.levels import group_factors
from edgewright.passes.precision.learned_block import Layer
from edgewright.passes.quantize.learn_rounding import learn_rounding
from edgewright.passes.quantize.quantize_static import quantize_static
from edgewright.passes.quantize.reconstruct_blocks import reconstruct_blocks
from edgewright.passes.quantize.round_weights import round_weights
from edgewright.passes.registry import Context
from edgewright.targets.target import load_target
from tests.passes.quantize import test_group_scales as grouped
from tests.passes.quantize.test_round_weights import distance, masked_and_clustered, network, pictures

OPTIONS = {"weight_bits": 4, "activation_bits": 4, "weight_ranges": "mse", "ranges": "mse"}


def on_samples_held_out(graph: Graph, quantized: Graph) -> float:
    inputs = [pictures(256)[-32:]]
    return float(np.square(evaluate(quantized, inputs)[0] - evaluate(graph, inputs)[0]).mean())


def test_blocks_come_closer_to_float_than_their_start_and_the_same_every_time() -> None:
    graph, ctx = network(), Context(data=Data((pictures(256),)), say=lambda text: said.append(text))
    said: list[str] = []
    nearest = quantize_static(graph, ctx, **OPTIONS)
    digest = nearest.digest
    learned = reconstruct_blocks(nearest, ctx, iterations=150)
    assert nearest.digest == digest and learned.level is Level.QUANTIZED
    assert distance(graph, learned) < 0.5 * distance(graph, nearest)
    start = round_weights(nearest, Context(data=ctx.data), samples=224)
    assert on_samples_held_out(graph, learned) < 0.95 * on_samples_held_out(graph, start)
    assert reconstruct_blocks(nearest, Context(data=ctx.data), iterations=150).digest == learned.digest
    assert reconstruct_blocks(nearest, Context(data=ctx.data, seed=1), iterations=150).digest != learned.digest
    told = [line for line in ctx.lines if "rounding learned, error of the output on 32 samples held out" in line.detail]
    assert told and all(line.action == "did" and line.technique == "reconstruct_blocks" for line in told)
    moved = [name for name in graph.values if name in learned.values and learned.value(name).quant != nearest.value(name).quant]
    assert any(name not in graph.constants for name in moved), "no step size of an activation was learned"
    for node in learned.nodes:
        if node.op.weight_inputs:
            data, weight, bias = (learned.value(name).quant for name in node.inputs)
            np.testing.assert_array_equal(bias.scale, bias_scales(np.asarray(weight.scale, np.float32), data.scale[0]))


def test_learned_rounding_is_up_or_down_and_better_than_the_nearest() -> None:
    graph, ctx = network(), Context(data=Data((pictures(256),)))
    nearest = quantize_static(graph, ctx, weight_bits=3, weight_ranges="mse")
    learned = learn_rounding(nearest, ctx, iterations=400)
    assert distance(graph, learned) < 0.8 * distance(graph, nearest)
    names = [name for name in graph.constants if name.endswith("/weight")]
    moved = 0
    for name in names:
        quant = nearest.value(name).quant
        assert learned.value(name).quant == quant
        down = np.floor(graph.array(name) / quant.scales(graph.array(name).ndim)).clip(quant.dtype.minimum, quant.dtype.maximum - 1)
        found = quant.to_integer(learned.array(name))
        assert np.isin(found - down, (0, 1)).all()
        moved += int((found != quant.to_integer(graph.array(name))).sum())
    assert moved > 20


def test_masks_groups_and_codebooks_stay() -> None:
    graph, mask = masked_and_clustered()
    ctx = Context(data=Data((pictures(128),)))
    learned = reconstruct_blocks(quantize_static(graph, ctx, **OPTIONS), ctx, iterations=60)
    assert not learned.array("first/weight")[~mask].any() and learned.constants["first/weight"].structure.mask is not None
    assert all(len(np.unique(row)) <= 3 for row in learned.array("point/weight"))


def test_groups_stay_wherever_the_shares_go() -> None:
    start = grouped.rounded(Context(data=Data((grouped.samples(16, 1),))), 32)
    for node in start.nodes:
        part = linear(start, node)
        if part is None or part.node.name == "window":
            continue
        layer = Layer(start, part, None)
        before = start.value(part.weight).quant.to_integer(start.array(part.weight))
        units = group_factors(before, 32)
        torch.nn.init.uniform_(layer.latent, -3.0, 3.0, generator=torch.Generator().manual_seed(0))
        weight, quant, _ = layer.settled()
        integers = quant.to_integer(weight)
        assert not (integers % units).any() and (integers // units).min() >= -8 and (integers // units).max() <= 7
        assert (integers != before).mean() > 0.2
        np.testing.assert_allclose(layer.weight(True).detach().numpy(), weight, rtol=1e-6)


def test_what_is_learned_runs_as_integers() -> None:
    """The integer network says what the quantized one says, up to a step."""
    graph, ctx = network(), Context(data=Data((pictures(128),)))
    quantized = quantize_static(graph, ctx, weight_bits=4, weight_ranges="mse")
    learned = reconstruct_blocks(quantized, ctx, iterations=60, drop=0.0)
    integer = lower_integer(learned, load_target("host"))
    weights = [node.inputs[1] for node in integer.nodes if node.op.weight_inputs]
    assert {integer.value(name).dtype for name in weights} == {DType.INT4}
    assert distance(graph, learned) < 0.5 * distance(graph, quantized)


def test_no_better_means_the_start_comes_back_and_why_is_told() -> None:
    graph, data = network(), Data((pictures(128),))
    quantized = quantize_static(graph, Context(data=data))
    ctx = Context(data=data)
    found = learn_rounding(quantized, ctx, iterations=1)
    assert found is quantized and not any(line.action == "did" for line in ctx.lines)
    assert any("no better" in line.detail for line in ctx.lines if line.action == "skipped")
    few = Context(data=data.take(np.arange(4)))
    assert learn_rounding(quantized, few) is quantized
    assert [line.detail for line in few.lines] == ["4 samples are too few to hold some out: give at least 8"]


def test_senseless_options_are_refused() -> None:
    ctx = Context(data=Data((pictures(8),)))
    quantized = quantize_static(network(), ctx)
    with pytest.raises(RecipeError, match="unknown start 'best'"):
        reconstruct_blocks(quantized, ctx, start="best")
    for options in ({"samples": 1}, {"iterations": 0}, {"layers": 0}, {"drop": 1.0}):
        with pytest.raises(RecipeError, match=next(iter(options))):
            reconstruct_blocks(quantized, ctx, **options)
    with pytest.raises(RecipeError, match="iterations 0"):
        learn_rounding(quantized, ctx, iterations=0)
