"""Bias correction: what rounding shifts on average goes into the bias."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.analysis.linear import Edits, Linear, bias_array, without_activation
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph
from edgewright.numerics.scales import BIAS_STEPS, bias_quant
from edgewright.ops.evaluate import quantized_constant
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.side_by_side import affordable, walk


@graph_pass(level="quantized", exact=False, needs_data=True)
def correct_biases(graph: Graph, ctx: Context, *, samples: int = 256) -> Graph:
    """Shift every bias by the mean difference between the float layer's sums and the quantized one's on calibration data.

    Layer by layer, each fed with what the corrected layers before it pass on. Weights and scales stay; no labels are used. Without data of
    the network's own, give synthesized ones. What round_weights has done includes it.
    Source: Nagel et al. 2019 (arXiv:1906.04721), section 4.2, the empirical form.
    """
    if samples < 1:
        raise RecipeError(f"correct_biases: samples is {samples}", hint="at least 1")
    data = ctx.calibration()
    if graph.states:
        ctx.skipped(graph.name, "the biases of networks with states are not corrected yet")
        return graph
    count = affordable(graph, min(samples, data.count))
    if count < min(samples, data.count):
        ctx.skipped(graph.name, f"{min(samples, data.count) - count} of the samples are left out: activations would not fit into memory")
    edits = Edits(graph)

    def mend(part: Linear, floats: Tensor, quantized: Tensor) -> Sequence[NDArray[np.float32]] | None:
        weight, data = graph.value(part.weight).quant, graph.value(part.data).quant
        if weight is None or data is None or weight.axis != 0:
            return None
        rounded = quantized_constant(graph, part.weight)
        shift = _means(part, floats, graph.array(part.weight).astype(np.float32)) - _means(part, quantized, rounded)
        bias = bias_array(graph, part) + shift
        quant = bias_quant(weight, data.scale[0])
        if np.any(np.abs(bias) > np.asarray(quant.scale) * BIAS_STEPS):
            ctx.skipped(part.node.name, "its corrected bias would not fit into int32")
            return None
        stem = edits.fresh(f"{part.node.name}_bias") if part.bias is None else edits.replacing(part.bias)
        name = edits.constant(stem, np.asarray(bias, np.float32), quant=quant)
        edits.nodes[part.node.name] = [dataclasses.replace(part.node, inputs=(part.data, part.weight, name))]
        ctx.did(part.node.name, f"bias of {len(bias)} channels shifted by up to {np.abs(shift).max():.3g}")
        return rounded, quant.to_real(quant.to_integer(bias))

    walk(graph, [array[:count] for array in data.inputs], mend)
    return edits.apply() if edits.nodes else graph


def _means(part: Linear, x: Tensor, weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean of the layer's sums, bias left out, for each output channel: (O,)."""
    (sums,) = without_activation(part.node.op).evaluate([x, torch.from_numpy(weight)])
    return np.asarray(sums.reshape(-1, sums.shape[-1]).mean(0, dtype=torch.float64))
