"""Weights of very few values: which integers they may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph

LEVELS: Mapping[str, tuple[int, ...]] = {"binary": (-1, 1), "ternary": (-1, 0, 1), "quaternary": (-3, -1, 1, 3)}
"""Evenly spaced and symmetric, each set times one scale a channel."""


def all_levels(dtype: DType) -> tuple[int, ...]:
    """Every integer of ``dtype``."""
    return tuple(range(dtype.minimum, dtype.maximum + 1))


def narrowest(levels: Sequence[int]) -> DType:
    """The type of fewest bits that has all ``levels``."""
    types = (DType.INT2, DType.INT3, DType.INT4, DType.INT8)
    return next(dtype for dtype in types if dtype.minimum <= min(levels) and max(levels) <= dtype.maximum)


def nearest_level(steps: Tensor, levels: Sequence[int]) -> Tensor:
    """The nearest of evenly spaced ``levels`` for each of ``steps``, as numbers of the same type; NaN stays."""
    low, high = levels[0], levels[-1]
    step = levels[1] - low
    if step == 1:
        return steps.round().clamp_(low, high)
    return torch.floor((steps - low) / step + 0.5).mul_(step).add_(low).clamp_(low, high)


def group_factors(integers: NDArray[np.generic], size: int) -> NDArray[np.int64]:
    """The greatest common divisor of each ``size`` neighbours along the last axis, for each of them; 1 where all are 0; same shape."""
    blocks: NDArray[np.int64] = np.gcd.reduce(integers.astype(np.int64).reshape(*integers.shape[:-1], -1, size), axis=-1)
    return np.asarray(np.maximum(blocks, 1).repeat(size, axis=-1), np.int64)


def weight_levels(graph: Graph, name: str) -> tuple[int, ...] | None:
    """The integers of constant ``name`` where its codebook is its grid: those of one of LEVELS times a scale a channel; None else."""
    structure, quant = graph.constants[name].structure, graph.value(name).quant
    if structure is None or structure.codebook is None or quant is None or quant.axis != 0 or any(quant.zero_point):
        return None
    rows = np.atleast_2d(np.asarray(structure.codebook, np.float64)) / np.asarray(quant.scale, np.float64)[:, None]
    fitting = (levels for levels in LEVELS.values() if rows.shape[1] == len(levels) and narrowest(levels) is quant.dtype)
    return next((levels for levels in fitting if np.allclose(rows, levels, rtol=1e-6)), None)
