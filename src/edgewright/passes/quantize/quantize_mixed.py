"""Mixed precision of weights and activations: each layer's widths are chosen under budgets of bytes, time and arena."""

from __future__ import annotations

from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph
from edgewright.passes.precision.bit_widths import bit_front, no_bits, parse_widths
from edgewright.passes.precision.mixed_widths import parse_activations, width_front
from edgewright.passes.quantize.quantize_static import quantize_static
from edgewright.passes.registry import Context, graph_pass

SAMPLES = 128


@graph_pass(level="float", exact=False, needs_data=True, makes_integers=True)
def quantize_mixed(
    graph: Graph,
    ctx: Context,
    *,
    share: float = 1.0,
    flash_bytes: int = 0,
    arena_bytes: int = 0,
    slowdown: float = 1.5,
    widths: str = "2,4,8",
    activations: str = "8,16",
) -> Graph:
    """Quantize with those widths of weights and activations, layer by layer, with which the outputs lose least within all budgets.

    ``flash_bytes`` of weights or, where that is 0, ``share`` of what the chosen weights take in int8; ``arena_bytes`` of RAM as planned (0:
    any); ``slowdown``: the most time, times that of int8 throughout, by the target's modelled cycles, else instructions, else (nothing is
    known) multiply-accumulates, of which int16 takes two (0: any). ``widths`` of weights; ``activations``: 8, or 8,16.
    What is lost with each layer's weights in each width, and with each activation at int8, is measured alone on 128 calibration samples.
    An activation is int16 where what makes it and all that read it are; a Requantize stands, and is paid for, where widths differ. A
    mixed-integer program finds the best selection, proved to 0.01 %. Ranges are minmax. round_weights may follow.
    Source: integer programming as in HAWQ-V3 (Yao et al. 2021, arXiv:2011.10680), activations beside weights as in Bayesian Bits (van
    Baalen et al. 2020, arXiv:2005.07093), by measured losses.
    """
    chosen, wide = parse_widths(widths), parse_activations(activations)
    if not 0 < share <= 1 or min(flash_bytes, arena_bytes) < 0 or slowdown < 0:
        asked = f"share {share}, flash_bytes {flash_bytes}, arena_bytes {arena_bytes}, slowdown {slowdown}"
        raise RecipeError(f"quantize_mixed: {asked}", hint="a share up to 1, the others from 0 (0: any)")
    if arena_bytes and "arena_bytes" not in ctx.costs:
        raise RecipeError("quantize_mixed: nothing is known of the arena here", hint="leave arena_bytes at 0")
    quiet = Context(data=ctx.calibration(), target=ctx.target, seed=ctx.seed)
    if graph.states:
        ctx.skipped(graph.name, "widths of networks with states are not chosen yet")
        ctx.did(graph.name, "quantized with int8 throughout")
        return quantize_static(graph, quiet, weight_ranges="mse")
    free = len(chosen) > 1 or chosen[0] is not DType.INT8 or share < 1 or flash_bytes
    bits = (bit_front(graph, ctx, chosen, SAMPLES) if free else None) or no_bits(graph, chosen)
    front = width_front(bits, ctx, SAMPLES, wide)
    budget = flash_bytes or bits.fixed_bytes + share * bits.int8_bytes
    found = front.within(budget, slowdown * front.int8_time or float("inf"), arena_bytes)
    weights, layers = front.widths_of(found)
    for layer, width in weights.items():
        ctx.did(layer, f"weights of {width} bits, activations of {16 if layer in layers else 8} bits")
    for layer in layers:
        if layer not in weights:
            ctx.did(layer, "activations of 16 bits")
    ratio = found.time / front.int8_time if front.int8_time else 1.0
    ctx.did(graph.name, f"costs {found.loss:.2g} of the outputs, {ratio:.2f} times int8's {front.unit}, proved to {found.gap:.2%}")
    return front.apply(found, quiet, weight_ranges="mse")
