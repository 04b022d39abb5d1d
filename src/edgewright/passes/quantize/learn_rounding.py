"""AdaRound: whether each weight is rounded up or down is learned, layer by layer."""

from __future__ import annotations

from edgewright.analysis.spans import spans_of_layers
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph
from edgewright.passes.precision.reconstruction import Effort, reconstruct
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="quantized", exact=False, needs_data=True)
def learn_rounding(graph: Graph, ctx: Context, *, samples: int = 512, iterations: int = 1000) -> Graph:
    """Learn whether each weight is rounded up or down by the least squared error of its layer's output on calibration data.

    AdaRound (Nagel et al. 2020, arXiv:2004.10568): shares by a rectified sigmoid, pressed to 0 or 1 by a regularizer whose exponent falls;
    each layer, its activation function included, is fed with what the quantized layers before it pass on and aims at what the float layer
    gives. Scales and biases stay: calibrate with weight_ranges mse before, and correct_biases after it. No labels are used. Masks, groups
    and codebooks stay. An eighth of the samples is held out; a layer whose output is no better there keeps the nearest integers.
    """
    if samples < 2 or iterations < 1:
        raise RecipeError(f"learn_rounding: samples {samples}, iterations {iterations}", hint="samples from 2, iterations from 1")
    ctx.calibration()
    if graph.states:
        ctx.skipped(graph.name, "the rounding of networks with states is not learned yet: the nearest integers stay")
        return graph
    return reconstruct(graph, graph, spans_of_layers(graph), Effort(iterations, drop=0.0, steps=False, scales=False), ctx, samples)
