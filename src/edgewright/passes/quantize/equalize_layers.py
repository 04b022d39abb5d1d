"""Cross-layer equalization: the same network with weights of like size in every channel."""

from __future__ import annotations

import numpy as np

from edgewright.analysis.crossings import Arrays, crossings
from edgewright.analysis.linear import FloatArray
from edgewright.ir.graph import Graph
from edgewright.passes.registry import Context, graph_pass

SWEEPS = 100
SMALLEST = 0.02
"""A crossing rests whose factors all lie within this of 1."""


@graph_pass(level="float", exact=True)
def equalize_layers(graph: Graph, ctx: Context) -> Graph:
    """Move a factor for each channel from layer to layer until what makes a channel and what reads it are of the same size.

    Needs no data. Factors above zero pass through relu, prelu and pooling, and depthwise layers between others are a crossing on either
    side; relu6 holds them up, as 6 would move (smooth_activations lets channels through that stay below). Run it after fold_batchnorm.
    Source: Nagel et al. 2019 (arXiv:1906.04721).
    """
    found = crossings(graph)
    open_ways = [crossing for crossing in found if not crossing.clipped]
    for crossing in found:
        if crossing.clipped:
            ctx.skipped(crossing.maker.node.name, "its channels are clipped at 6 on the way to the next layer: smooth_activations may help")
    arrays = Arrays(graph)
    moved = {crossing.maker.node.name: np.ones(len(arrays.weight(crossing.maker))) for crossing in open_ways}
    for _ in range(SWEEPS):
        rest = True
        for crossing in open_ways:
            factors = _balance(arrays.rows(crossing), arrays.columns(crossing))
            if np.abs(np.log(factors)).max(initial=0.0) > SMALLEST:
                arrays.move(crossing, factors)
                moved[crossing.maker.node.name] *= factors
                rest = False
        if rest:
            break
    touched = [crossing for crossing in open_ways if not np.all(moved[crossing.maker.node.name] == 1.0)]
    if not touched:
        return graph
    for crossing in touched:
        factors = moved[crossing.maker.node.name]
        ctx.did(crossing.maker.node.name, crossing.told(factors))
    return arrays.apply(touched)


def _balance(rows: FloatArray, columns: FloatArray) -> FloatArray:
    """The factors that make ``rows`` and ``columns`` equal; 1 where either is zero."""
    alive = (rows > 0) & (columns > 0)
    return np.asarray(np.sqrt(np.where(alive, columns, 1.0) / np.where(alive, rows, 1.0)))
