"""Weights rounded so that the layers' outputs stay, instead of to the nearest integers."""

from __future__ import annotations

import dataclasses

import numpy as np
from torch import Tensor

from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Graph
from edgewright.passes.linear import Edits, Linear
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.rounded import Reals, Rounded, round_layer
from edgewright.passes.side_by_side import affordable, moments, walk
from edgewright.passes.weights import bias_scales


@graph_pass(level="quantized", exact=False, needs_data=True)
def round_weights(graph: Graph, ctx: Context, *, samples: int = 512, sweeps: int = 20, ridge: float = 0.1) -> Graph:
    """Choose scales and integers of the weights, and the biases, by the least squared error of each layer's output on calibration data.

    Layer by layer, each fed with what the quantized layers before it pass on, and aiming at what the float layer gives: the best real
    weights in closed form (``ridge`` pulls them to the old ones), integers with error feedback (GPTQ, arXiv:2210.17323), ``sweeps`` of
    coordinate descent with the scales refitted (QuantEase, arXiv:2309.01885), and a bias that takes over the mean error (arXiv:1906.04721).
    No labels are used. Zeros of a mask stay zeros; a layer with a codebook keeps its weights, and its bias alone is corrected.
    """
    if samples < 1 or sweeps < 0 or ridge < 0:
        raise RecipeError(f"round_weights: samples {samples}, sweeps {sweeps}, ridge {ridge}", hint="samples from 1, the others from 0")
    data = ctx.calibration()
    if graph.states:
        ctx.skipped(graph.name, "networks with states are not rounded by their outputs yet: the nearest integers stay")
        return graph
    count = affordable(graph, min(samples, data.count))
    mender = _Mender(graph, ctx, sweeps, ridge)
    walk(graph, [array[:count] for array in data.inputs], mender.mend)
    if not mender.edits.constants:
        return graph
    if count < min(samples, data.count):
        ctx.skipped(graph.name, f"{min(samples, data.count) - count} of the samples are left out: activations would not fit into memory")
    return mender.edits.apply()


class _Mender:
    """Collects the new constants of every layer as the walk comes by."""

    def __init__(self, graph: Graph, ctx: Context, sweeps: int, ridge: float) -> None:
        self.graph, self.ctx = graph, ctx
        self.sweeps, self.ridge = sweeps, ridge
        self.edits = Edits(graph)

    def mend(self, part: Linear, floats: Tensor, quantized: Tensor) -> tuple[Reals, Reals] | None:
        quant, data = self.graph.value(part.weight).quant, self.graph.value(part.data).quant
        if quant is None or data is None or quant.axis != 0:
            return None
        seen = moments(self.graph, part, floats, quantized)
        if seen is None:
            self.ctx.skipped(part.node.name, f"{part.node.op.kind} is not a product over a window: the nearest integers stay")
            return None
        found = round_layer(
            self.graph, part, seen, dtype=quant.dtype, input_scale=data.scale[0], sweeps=self.sweeps, ridge=self.ridge, kept=quant
        )
        return found.weight, self._enter(part, found, data.scale[0])

    def _enter(self, part: Linear, found: Rounded, input_scale: float) -> Reals:
        """Put the constants into the edits; gives the bias as it will be."""
        quant, structure = found.quant, self.graph.constants[part.weight].structure
        name = self.edits.constant(self.edits.replacing(part.weight), found.weight, quant=quant, structure=structure)
        shared = Quant.per_axis(bias_scales(np.asarray(quant.scale, np.float32), input_scale), 0, DType.INT32)
        stem = self.edits.fresh(f"{part.node.name}_bias") if part.bias is None else self.edits.replacing(part.bias)
        sums = self.edits.constant(stem, np.asarray(found.bias, np.float32), quant=shared)
        self.edits.nodes[part.node.name] = [dataclasses.replace(part.node, inputs=(part.data, name, sums))]
        self.ctx.did(part.node.name, f"{found.weight.size} weights of {quant.dtype.value} rounded by the layer's output")
        return np.asarray(shared.to_real(shared.to_integer(found.bias)))
