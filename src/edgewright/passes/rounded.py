"""One layer rounded by its output: weights on a grid, their scales, and the bias that goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edgewright.analysis.columns import as_matrices
from edgewright.analysis.linear import Linear, bias_array
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Graph, Structure
from edgewright.numerics.rounding import Moments, best_scales, compensated, round_rows
from edgewright.numerics.scales import weight_scales
from edgewright.ops.levels import all_levels, narrowest, nearest_level

Reals = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rounded:
    """``weight`` lies on the grid of ``quant``; ``bias`` (O,) takes over the mean error."""

    weight: Reals
    quant: Quant
    bias: NDArray[np.float64]


def round_layer(
    graph: Graph, part: Linear, seen: Moments, *, dtype: DType, input_scale: float, sweeps: int, ridge: float, kept: Quant | None = None,
    levels: Sequence[int] | None = None,
) -> Rounded:
    """``part`` with weights in ``dtype`` that keep its outputs, where its data are ``seen`` and have ``input_scale``.

    ``levels``: the only integers that the weights may be, in the narrowest type that has them. A weight with a codebook keeps its numbers,
    on the grid ``kept`` where that is given.
    """
    weight, bias = graph.array(part.weight).astype(np.float32), bias_array(graph, part)
    structure = graph.constants[part.weight].structure
    if structure is None or structure.codebook is None:
        rounded, quant = _round(weight, structure, seen, levels or all_levels(dtype), (bias, input_scale), sweeps, ridge)
    else:
        quant = kept or Quant.per_axis(weight_scales(weight, bias, input_scale, dtype), 0, dtype)
        rounded = np.asarray(quant.to_real(quant.to_integer(weight)))
    channels = seen.mean.shape[0] * weight.shape[-1]
    rows = [as_matrices(torch.from_numpy(array), channels).double() for array in (weight, rounded)]
    shift = (rows[0] @ seen.float_mean[..., None] - rows[1] @ seen.mean[..., None]).reshape(-1).numpy()
    return Rounded(rounded, quant, bias + shift)


def round_alone(graph: Graph, part: Linear, levels: Sequence[int], input_scale: float, sweeps: int) -> Rounded:
    """``part`` with weights of ``levels`` that come nearest to its own, whatever its data: the least squared error of each row."""
    weight, bias = graph.array(part.weight).astype(np.float32), bias_array(graph, part)
    size = weight[:1].size
    zeros, unit = torch.zeros(1, size, dtype=torch.float64), torch.eye(size, dtype=torch.float64)[None]
    seen = Moments(zeros, zeros, unit, unit, 1)
    return Rounded(*_round(weight, graph.constants[part.weight].structure, seen, levels, (bias, input_scale), sweeps, 0.0), bias)


def _round(
    weight: Reals, structure: Structure | None, seen: Moments, levels: Sequence[int], sums: tuple[NDArray[np.float64], float], sweeps: int,
    ridge: float,
) -> tuple[Reals, Quant]:
    """The rounded weights and their grid; ``sums``: the bias, which that must hold, and the scale of the input."""
    groups = seen.mean.shape[0]
    matrices = torch.from_numpy(weight).double().reshape(groups, -1, seen.mean.shape[1])
    free = torch.from_numpy(_free(weight, structure)).reshape(matrices.shape)
    wanted = compensated(matrices, seen, ridge) * free
    start = best_scales(wanted, seen.second, levels)
    integers, scales = round_rows(wanted, seen.second, start, levels, free, sweeps)
    single = scales.to(torch.float32).reshape(-1).numpy()
    reals = np.asarray(integers.reshape(len(weight), -1).numpy() * single[:, None], np.float32)
    quant = Quant.per_axis(np.maximum(single, weight_scales(reals, *sums, DType.INT32)), 0, narrowest(levels))
    steps = torch.from_numpy(reals.astype(np.float64) / np.asarray(quant.scale)[:, None])
    nearest = nearest_level(steps, levels) * free.reshape(steps.shape)
    return np.asarray(quant.to_real(nearest.numpy().reshape(weight.shape))), quant


def _free(weight: Reals, structure: Structure | None) -> NDArray[np.bool_]:
    """Where a weight may differ from zero."""
    if structure is None or (structure.mask is None and structure.pattern is None):
        return np.ones(weight.shape, bool)
    return np.asarray(structure.mask if structure.mask is not None else weight != 0)
