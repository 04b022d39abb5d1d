"""Block reconstruction: what several layers give together stays, by learned rounding, biases and step sizes."""

from __future__ import annotations

import dataclasses

from edgewright.analysis.spans import spans_between_cuts
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph
from edgewright.passes.precision.reconstruction import Effort, parted, reconstruct
from edgewright.passes.quantize.round_weights import round_weights
from edgewright.passes.registry import Context, graph_pass

STARTS = ("outputs", "nearest")


@graph_pass(level="quantized", exact=False, needs_data=True)
def reconstruct_blocks(
    graph: Graph, ctx: Context, *, samples: int = 512, iterations: int = 500, layers: int = 1, drop: float = 0.5,
    learned_steps: bool = True, start: str = "outputs",
) -> Graph:  # fmt: skip
    """Learn how weights are rounded, biases and step sizes by the least squared error of each block's output on calibration data.

    Blocks (BRECQ, arXiv:2102.05426) lie between places where a single value is handed on: a residual block is one, a chain falls into its
    layers, at least ``layers`` together. Each is fed with what the quantized blocks before it pass on, and aims at what the float block
    gives. A weight goes up or down by a learned share that is pressed to 0 or 1 (AdaRound, arXiv:2004.10568); the step sizes of the block's
    activations are learned beside it (LSQ, arXiv:1902.08153; ``learned_steps``), and a random part of the activations, ``drop``, is not
    rounded meanwhile (QDrop, arXiv:2203.05740). ``start``: outputs, the integers and scales that round_weights finds, or nearest. No labels
    are used. Masks, groups and codebooks stay. An eighth of the samples is held out: a block keeps what was learned only where it is better
    on those, and so does the network.
    """
    if start not in STARTS:
        raise RecipeError(f"reconstruct_blocks: unknown start {start!r}", hint=f"one of {', '.join(STARTS)}")
    if samples < 2 or iterations < 1 or layers < 1 or not 0 <= drop < 1:
        got = f"samples {samples}, iterations {iterations}, layers {layers}, drop {drop}"
        raise RecipeError(f"reconstruct_blocks: {got}", hint="samples from 2, iterations and layers from 1, drop from 0 to below 1")
    data = ctx.calibration()
    if graph.states:
        ctx.skipped(graph.name, "networks with states are not reconstructed yet: their integers stay")
        return graph
    before = graph
    if start == "outputs":
        quiet = dataclasses.replace(ctx, lines=[])
        before = round_weights(graph, quiet, samples=parted(graph, data, samples)[0])
        ctx.lines += [dataclasses.replace(line, technique=ctx.technique) for line in quiet.lines if before is not graph]
    effort = Effort(iterations, drop=drop, steps=learned_steps)
    return reconstruct(graph, before, spans_between_cuts(before, layers), effort, ctx, samples)
