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
from edgewright.numerics.rounding import Moments, best_scales, compensated, gptq_rows, round_rows, row_factors
from edgewright.numerics.scales import weight_scales
from edgewright.ops.levels import all_levels, narrowest, nearest_level

Reals = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rounded:
    """``weight`` lies on the grid of ``quant``; ``bias`` (O,) takes over the mean error."""

    weight: Reals
    quant: Quant
    bias: NDArray[np.float64]


@dataclass(frozen=True)
class Method:
    """How a layer's weights are rounded.

    ``name``: one of METHODS. "descent" takes the best real weights for the data at hand (``ridge`` pulls them to the old ones), integers
    with error feedback, and ``sweeps`` of coordinate descent with the scales refitted; "gptq" the integers with error feedback alone, for
    the weights and the scales as they are. ``group``: so many input channels of a row share a factor beside its scale; 0: none do.
    """

    name: str = "descent"
    sweeps: int = 20
    ridge: float = 0.1
    group: int = 0


METHODS = ("descent", "gptq")


def round_layer(
    graph: Graph, part: Linear, seen: Moments, method: Method, *, dtype: DType, input_scale: float, kept: Quant | None = None,
    levels: Sequence[int] | None = None,
) -> Rounded:
    """``part`` with weights in ``dtype`` that keep its outputs, where its data are ``seen`` and have ``input_scale``.

    ``levels``: the only integers that the weights may be, in the narrowest type that has them. A weight with a codebook or with groups
    keeps its numbers, on the grid ``kept`` where that is given; the method gptq takes its scales from there.
    """
    weight, bias = graph.array(part.weight).astype(np.float32), bias_array(graph, part)
    structure = graph.constants[part.weight].structure
    if structure is None or (structure.codebook is None and structure.group is None):
        scales = None if kept is None else np.asarray(kept.scale, np.float64)
        rounded, quant = _round(weight, structure, seen, levels or all_levels(dtype), (bias, input_scale), method, scales)
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
    seen, method = Moments(zeros, zeros, unit, unit, 1), Method(sweeps=sweeps, ridge=0.0)
    return Rounded(*_round(weight, graph.constants[part.weight].structure, seen, levels, (bias, input_scale), method, None), bias)


def _round(
    weight: Reals, structure: Structure | None, seen: Moments, levels: Sequence[int], sums: tuple[NDArray[np.float64], float],
    method: Method, scales: NDArray[np.float64] | None,
) -> tuple[Reals, Quant]:  # fmt: skip
    """The rounded weights and their grid; ``sums``: the bias, which that must hold, and the scale of the input."""
    groups = seen.mean.shape[0]
    matrices = torch.from_numpy(weight).double().reshape(groups, -1, seen.mean.shape[1])
    units = torch.from_numpy(_free(weight, structure)).reshape(matrices.shape).double()
    feedback = method.name == "gptq" and scales is not None
    wanted = (matrices if feedback else compensated(matrices, seen, method.ridge)) * units
    if method.group:
        start, factors = row_factors(wanted, seen.second, levels, method.group)
        units = units * factors
    elif feedback:
        start = torch.from_numpy(np.asarray(scales)).reshape(matrices.shape[:2])
    else:
        start = best_scales(wanted, seen.second, levels)
    if feedback:
        integers, fitted = gptq_rows(wanted, seen.second, start, levels, units), start
    else:
        integers, fitted = round_rows(wanted, seen.second, start, levels, units, method.sweeps)
    single = fitted.to(torch.float32).reshape(-1).numpy()
    reals = np.asarray(integers.reshape(len(weight), -1).numpy() * single[:, None], np.float32)
    dtype = DType.INT8 if method.group else narrowest(levels)
    quant = Quant.per_axis(np.maximum(single, weight_scales(reals, *sums, DType.INT32)), 0, dtype)
    units = units.reshape(reals.shape)
    steps = torch.from_numpy(reals.astype(np.float64) / np.asarray(quant.scale)[:, None]) / units.clamp(min=1)
    nearest = nearest_level(steps, levels) * units
    return np.asarray(quant.to_real(nearest.numpy().reshape(weight.shape))), quant


def _free(weight: Reals, structure: Structure | None) -> NDArray[np.bool_]:
    """Where a weight may differ from zero."""
    if structure is None or (structure.mask is None and structure.pattern is None):
        return np.ones(weight.shape, bool)
    return np.asarray(structure.mask if structure.mask is not None else weight != 0)
