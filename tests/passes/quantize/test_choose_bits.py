"""Bits by layer: the budget holds, what matters keeps its bits, and quantization obeys."""

from __future__ import annotations

import numpy as np
import pytest

import edgewright
from edgewright.costs import layer_cost_functions
from edgewright.data import Data
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Structure
from edgewright.ops.evaluate import evaluate, quantize_inputs
from edgewright.passes.precision.bit_widths import bit_front, parse_widths
from edgewright.passes.precision.sensitivity import sensitivities, weighted_layers
from edgewright.passes.quantize.choose_bits import choose_bits
from edgewright.passes.quantize.quantize_static import quantize_static
from edgewright.passes.quantize.round_weights import round_weights
from edgewright.passes.registry import Context
from edgewright.run.tflm import run_tflm
from edgewright.targets.target import load_target
from tests.passes.quantize.test_round_weights import distance, network, pictures

LAYERS = ("first", "deep", "point", "wide", "last")


def context() -> Context:
    return Context(data=Data((pictures(64),)))


def bits(graph: Graph) -> dict[str, int | None]:
    found = {}
    for name in LAYERS:
        structure = graph.constants[f"{name}/weight"].structure
        found[name] = None if structure is None else structure.bits
    return found


def test_bits_stay_within_the_budget_and_are_obeyed() -> None:
    graph = network()
    ctx = context()
    chosen = choose_bits(graph, ctx, share=0.5)
    picked = bits(chosen)
    sizes = {name: graph.value(f"{name}/weight").elements for name in picked}
    used = sum(size * (picked[name] or 0) / 8 for name, size in sizes.items())
    assert set(picked.values()) <= {2, 4, 8} and used <= 0.5 * sum(sizes.values())
    assert {line.where for line in ctx.lines} == set(picked)
    mixed = round_weights(quantize_static(chosen, ctx), ctx)
    for name, width in picked.items():
        quant = mixed.value(f"{name}/weight").quant
        assert quant is not None and quant.dtype.bits == width
    uniform = round_weights(quantize_static(graph, ctx, weight_bits=4), ctx)
    assert used <= 0.5 * sum(sizes.values()) and distance(graph, mixed) < 1.05 * distance(graph, uniform)


def test_every_best_selection_adds_up() -> None:
    graph, ctx = network(), context()
    front = bit_front(graph, ctx, parse_widths("2, 4,8"), 64)
    assert front is not None
    assert front.int8_bytes == sum(graph.value(name).elements for name in front.weights_of.values())
    for selection in front.selections:
        assert selection.loss == pytest.approx(sum(front.losses[name][pick] for name, pick in zip(front.weights_of, selection.picks)))
    assert front.within(front.int8_bytes).picks == front.selections[-1].picks
    assert all(losses[0] > losses[-1] for losses in front.losses.values())


def test_sensitivity_falls_with_bits_and_ignores_what_no_output_sees() -> None:
    """The loss is the divergence of answers: none where the layer behind multiplies by zero."""
    graph = network()
    losses = sensitivities(graph, [pictures(32)], weighted_layers(graph), [DType.INT2, DType.INT4, DType.INT8])
    for falling in losses.values():
        assert falling[0] > falling[1] > falling[2] >= 0
    blind = rebuild(graph, constants={"point/weight": Constant(graph.array("point/weight") * 0)})
    losses = sensitivities(blind, [pictures(32)], weighted_layers(blind), [DType.INT2])
    assert losses["deep"][0] < 1e-9 < losses["last"][0]


def test_bits_that_stand_stay() -> None:
    graph = network()
    weight = graph.constants["point/weight"]
    graph = rebuild(graph, constants={"point/weight": Constant(weight.array, Structure(bits=3))})
    ctx = context()
    chosen = choose_bits(graph, ctx, share=0.6)
    assert bits(chosen)["point"] == 3
    assert any(line.action == "skipped" and line.where == "point" for line in ctx.lines)
    quant = quantize_static(chosen, ctx).value("point/weight").quant
    assert quant is not None and quant.dtype is DType.INT3
    assert choose_bits(chosen, context()) is chosen


def test_masks_stay() -> None:
    graph = network()
    array = graph.array("point/weight").copy()
    array[:, :, :, ::2] = 0
    graph = rebuild(graph, constants={"point/weight": Constant(array, Structure(mask=array != 0))})
    structure = choose_bits(graph, context()).constants["point/weight"].structure
    assert structure is not None and structure.mask is not None and structure.bits is not None
    np.testing.assert_array_equal(structure.mask, array != 0)


def test_time_is_kept_as_well() -> None:
    """Narrow weights are unpacked at run time: under a limit of cycles fewer layers have them."""
    graph, target = network(), load_target("cortex-m3")
    cycles = layer_cost_functions(target)["cycles"]
    ctx = Context(data=Data((pictures(64),)), target=target, layer_costs=layer_cost_functions(target))
    known = cycles(graph)
    assert set(LAYERS) <= known.keys() and min(known.values()) > 0

    def time(chosen: Graph) -> float:
        found = cycles(chosen)
        return sum(found[name] for name in bits(graph))

    free, bound = choose_bits(graph, ctx, share=1.0, widths="2"), choose_bits(graph, ctx, share=1.0, slowdown=1.1)
    assert time(free) > 1.1 * time(graph) >= time(bound)
    with pytest.raises(RecipeError, match="no bits of the weights are quick enough"):
        choose_bits(graph, ctx, share=1.0, slowdown=0.5)
    with pytest.raises(RecipeError, match="nothing is known of the time"):
        choose_bits(graph, context(), slowdown=1.1)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(RecipeError, match="take at least"):
        choose_bits(network(), context(), flash_bytes=10)
    with pytest.raises(RecipeError, match="widths are '4;8'"):
        choose_bits(network(), context(), widths="4;8")
    with pytest.raises(RecipeError, match="share 0"):
        choose_bits(network(), context(), share=0)


def test_a_mixed_network_gives_the_same_bytes_everywhere(needs_cc: None, needs_tflite_micro: None) -> None:
    result = edgewright.optimize(network(), recipe="mixed", data=pictures(64), formats=["tflite", "c"])
    widths = {value.dtype.bits for name, value in result.graph.values.items() if name in result.graph.constants}
    assert len(widths & {2, 4, 8}) > 1
    inputs = quantize_inputs(result.graph, [pictures(6, seed=2)])
    (expected,) = evaluate(result.graph, inputs)
    np.testing.assert_array_equal(edgewright.measure(result, inputs).outputs[0], expected)
    np.testing.assert_array_equal(run_tflm(emit_tflite(result.graph), inputs).outputs[0], expected)
