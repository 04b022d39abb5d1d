"""Weights rounded so that the layers' outputs stay, instead of to the nearest integers."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Graph, Structure
from edgewright.passes.columns import as_matrices
from edgewright.passes.linear import Edits, Linear, bias_array
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.rounding import Moments, best_scales, compensated, round_rows
from edgewright.passes.side_by_side import affordable, moments, walk
from edgewright.passes.weights import bias_scales, weight_scales

Reals = NDArray[np.float32]


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
        weight, bias = self.graph.array(part.weight).astype(np.float32), bias_array(self.graph, part)
        structure = self.graph.constants[part.weight].structure
        if structure is None or structure.codebook is None:
            rounded, scales = self._round(weight, structure, seen, quant.dtype)
            scales = np.maximum(scales, weight_scales(rounded, bias, data.scale[0], DType.INT32))
            quant = Quant.per_axis(scales, 0, quant.dtype)
        else:
            rounded = weight
        rounded = np.asarray(quant.to_real(quant.to_integer(rounded)))
        means = [as_matrices(torch.from_numpy(array), floats.shape[-1]).double() for array in (weight, rounded)]
        shift = (means[0] @ seen.float_mean[..., None] - means[1] @ seen.mean[..., None]).reshape(-1).numpy()
        return rounded, self._enter(part, rounded, quant, structure, bias + shift, data.scale[0])

    def _round(self, weight: Reals, structure: Structure | None, seen: Moments, dtype: DType) -> tuple[Reals, Reals]:
        """The rounded weights, and the scale of each row."""
        groups = seen.mean.shape[0]
        matrices = torch.from_numpy(weight).double().reshape(groups, -1, seen.mean.shape[1])
        free = torch.from_numpy(_free(weight, structure)).reshape(matrices.shape)
        wanted = compensated(matrices, seen, self.ridge) * free
        start = best_scales(wanted, seen.second, dtype)
        integers, scales = round_rows(wanted, seen.second, start, dtype, free, self.sweeps)
        single = scales.to(torch.float32).reshape(-1).numpy()
        steps = integers.reshape(len(weight), -1).numpy()
        return np.asarray(steps * single[:, None], np.float32).reshape(weight.shape), single

    def _enter(
        self, part: Linear, weight: Reals, quant: Quant, structure: Structure | None, bias: NDArray[np.float64], input_scale: float
    ) -> Reals:
        """Put the constants into the edits; gives the bias as it will be."""
        name = self.edits.constant(self.edits.replacing(part.weight), weight, quant=quant, structure=structure)
        shared = Quant.per_axis(bias_scales(np.asarray(quant.scale, np.float32), input_scale), 0, DType.INT32)
        stem = self.edits.fresh(f"{part.node.name}_bias") if part.bias is None else self.edits.replacing(part.bias)
        sums = self.edits.constant(stem, np.asarray(bias, np.float32), quant=shared)
        self.edits.nodes[part.node.name] = [dataclasses.replace(part.node, inputs=(part.data, name, sums))]
        self.ctx.did(part.node.name, f"{weight.size} weights of {quant.dtype.value} rounded by the layer's output")
        return np.asarray(shared.to_real(shared.to_integer(bias)))


def _free(weight: Reals, structure: Structure | None) -> NDArray[np.bool_]:
    """Where a weight may differ from zero."""
    if structure is None or (structure.mask is None and structure.pattern is None):
        return np.ones(weight.shape, bool)
    return np.asarray(structure.mask if structure.mask is not None else weight != 0)
