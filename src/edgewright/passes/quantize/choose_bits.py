"""Mixed precision: how many bits each layer's weights get, under a budget for all of them."""

from __future__ import annotations

from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph
from edgewright.passes.precision.bit_widths import bit_front, parse_widths
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float", exact=True, needs_data=True)
def choose_bits(
    graph: Graph,
    ctx: Context,
    *,
    share: float = 0.6,
    flash_bytes: int = 0,
    slowdown: float = 0.0,
    widths: str = "2,4,8",
    samples: int = 128,
) -> Graph:
    """Give each weight the bits with which the outputs lose least while all weights together stay within a budget.

    The budget is ``flash_bytes`` or, where that is 0, ``share`` of what the chosen weights take in int8. ``slowdown``: the layers take at
    most so many times the modelled cycles of int8 weights, which narrower ones exceed where kernels unpack them (0: any).
    What a layer loses in each of ``widths`` is measured on calibration data, its weights rounded by its output and the rest left in float;
    losses are taken to add up, and the best selection is found exactly (under ``slowdown`` with a margin of 1/250 of the room a layer).
    quantize_static and round_weights, which follow, obey the bits. Weights that have bits already keep them.
    Source: Hessian-free sensitivity and integer programming as in HAWQ-V3 (Yao et al. 2021, arXiv:2011.10680), losses measured instead.
    """
    chosen = parse_widths(widths)
    if not 0 < share <= 1 or flash_bytes < 0 or slowdown < 0 or samples < 1:
        asked = f"share {share}, flash_bytes {flash_bytes}, slowdown {slowdown}, samples {samples}"
        raise RecipeError(f"choose_bits: {asked}", hint="a share up to 1, samples from 1")
    front = bit_front(graph, ctx, chosen, samples, slowdown)
    if front is None:
        return graph
    budget = flash_bytes or front.fixed_bytes + share * front.int8_bytes
    selection = front.within(budget)
    for (layer, name), pick in zip(front.weights_of.items(), selection.picks, strict=True):
        bits, loss = chosen[pick].bits, front.losses[layer][pick]
        ctx.did(layer, f"{graph.value(name).elements:,} weights of {bits} bits, which costs {loss:.2g} of the outputs")
    return front.apply(selection)
