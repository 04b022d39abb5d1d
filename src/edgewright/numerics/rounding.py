"""Integers for the rows of a weight matrix that minimize a quadratic error, instead of the nearest ones.

The error of integers q with scale s against real weights W is (s q - W) H (s q - W)^T, row by row, where H is the second moment of what the
weights are multiplied with. Rounding with error feedback: GPTQ (Frantar et al. 2022, arXiv:2210.17323), which is Babai's nearest plane.
Coordinate descent from there, with the scales refitted in between: QuantEase (Behdin et al. 2023, arXiv:2309.01885).
Factors that neighbours within a row share, beside the row's scale: VS-Quant (Dai et al. 2021, arXiv:2102.04503).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgewright.ops.levels import nearest_level

DAMPING, GPTQ_DAMPING = 1e-3, 1e-2
"""Added to the diagonal of H, as a share of its mean, so that it can be inverted: before descent, and as the paper of GPTQ has it."""
SHARES = np.linspace(0.3, 1.1, 41)
"""Candidates of the scale, as shares of the one that reaches the peak."""
FEW, FEW_SHARES = 4, np.linspace(0.06, 1.1, 53)
"""The same for up to so many levels, most of which serve the many small weights."""
MOST_FACTOR, LEAST_PEAK = 15, 8
"""The greatest factor of a group, four bits; the greatest of a row is at least the other, so that the small ones have resolution."""


@dataclass(frozen=True)
class Moments:
    """What a layer was fed with: means (groups, K) and centred second moments (groups, K, K), in float64.

    ``crossed`` is the moment of the float network's data (first axis) with the quantized network's (second axis).
    """

    mean: Tensor
    float_mean: Tensor
    second: Tensor
    crossed: Tensor
    positions: int


def compensated(weight: Tensor, moments: Moments, ridge: float) -> Tensor:
    """The real weights that give the float layer's outputs best on the quantized network's data; (groups, rows, K).

    ``ridge`` pulls towards ``weight``: a share of the mean diagonal of the second moment.
    """
    size = weight.shape[-1]
    pull = ridge * _level(moments.second)[:, None, None]
    wanted = weight @ moments.crossed + pull * weight
    found: Tensor = torch.linalg.solve(moments.second + pull * torch.eye(size, dtype=weight.dtype), wanted, left=False)
    return found


def best_scales(weight: Tensor, second: Tensor, levels: Sequence[int]) -> Tensor:
    """The scale of each row, of those tried, whose nearest ``levels`` have the least error; (groups, rows)."""
    peak = weight.abs().amax(-1).clamp(min=1e-30) / levels[-1]
    best, least = peak, torch.full_like(peak, torch.inf)
    for share in FEW_SHARES if len(levels) <= FEW else SHARES:
        scale = peak * share
        nearest = nearest_level(weight / scale[..., None], levels)
        size = _error(nearest, scale, weight, second)
        best, least = torch.where(size < least, scale, best), torch.minimum(size, least)
    return best


def row_factors(weight: Tensor, second: Tensor, levels: Sequence[int], size: int) -> tuple[Tensor, Tensor]:
    """(scales (1, rows), factors (1, rows, K)): ``size`` neighbours of a row share a factor, a whole number from 1 to MOST_FACTOR.

    The best scale of each group by itself, then the row's scale whose multiples serve all of them best. ``weight``: (1, rows, K), ``size``
    divides K, and 127 takes every product of a level with a factor.
    """
    starts = range(0, weight.shape[-1], size)
    blocks = [(weight[..., i : i + size], second[:, i : i + size, i : i + size]) for i in starts]
    alone = torch.stack([best_scales(block, moment, levels) for block, moment in blocks], -1)
    most = min(MOST_FACTOR, 127 // max(-levels[0], levels[-1]))
    found: tuple[Tensor, Tensor] | None = None
    least = torch.full(weight.shape[:2], torch.inf, dtype=weight.dtype)
    for peak in range(min(LEAST_PEAK, most), most + 1):
        scale = alone.amax(-1) / peak
        factors = (alone / scale[..., None]).round().clamp(1, most).repeat_interleave(size, -1)
        error = _error(_nearest(weight, scale[..., None], levels, factors), scale, weight, second)
        better = error < least
        found = (scale, factors) if found is None else (
            torch.where(better, scale, found[0]), torch.where(better[..., None], factors, found[1]))  # fmt: skip
        least = torch.minimum(error, least)
    assert found is not None
    return found


def gptq_rows(weight: Tensor, second: Tensor, scale: Tensor, levels: Sequence[int], units: Tensor) -> Tensor:
    """The integers of GPTQ for ``weight`` (groups, rows, K) under given ``scale`` (groups, rows); ``units`` as in :func:`round_rows`.

    Columns in the order of their second moment (act-order), each with the error of those before it, by the Cholesky factor of the inverse
    of the damped moment.
    """
    return _with_feedback(weight, _damped(second, GPTQ_DAMPING), scale, levels, units)


def round_rows(weight: Tensor, second: Tensor, scale: Tensor, levels: Sequence[int], units: Tensor, sweeps: int) -> tuple[Tensor, Tensor]:
    """(integers, scales) for ``weight`` (groups, rows, K), from ``scale`` (groups, rows). ``units``, of the same shape: the integer is
    one of ``levels`` times that, so that it is 0 where the unit is 0 or False.

    Coordinate descent from the integers with error feedback and from the nearest ones; of both, each row keeps what came out better.
    """
    damped = _damped(second, DAMPING)
    nearest = _nearest(weight, scale[..., None], levels, units)
    starts = (_with_feedback(weight, damped, scale, levels, units), nearest)
    (first, one), (second_best, two) = (_settled(start, weight, damped, scale, levels, units, sweeps) for start in starts)
    better = _error(first, one, weight, damped) <= _error(second_best, two, weight, damped)
    return torch.where(better[..., None], first, second_best), torch.where(better, one, two)


def _settled(
    integers: Tensor, weight: Tensor, second: Tensor, scale: Tensor, levels: Sequence[int], units: Tensor, sweeps: int
) -> tuple[Tensor, Tensor]:
    """``integers`` after ``sweeps`` of descent, and their scales; the error never rises."""
    for _ in range(sweeps):
        changed = _descend(integers, weight, second, scale, levels, units)
        projected = integers @ second
        fitted = (projected * weight).sum(-1) / (projected * integers).sum(-1)
        scale = torch.where(torch.isfinite(fitted) & (fitted > 0), fitted, scale)
        if not changed:
            break
    return integers, scale


def _error(integers: Tensor, scale: Tensor, weight: Tensor, second: Tensor) -> Tensor:
    """The quadratic error of each row: (groups, rows)."""
    off = integers * scale[..., None] - weight
    return ((off @ second) * off).sum(-1)


def _level(second: Tensor) -> Tensor:
    """The mean of the diagonal, never 0: (groups,)."""
    return second.diagonal(dim1=1, dim2=2).mean(-1).clamp(min=1e-20)


def _damped(second: Tensor, damping: float) -> Tensor:
    return second + torch.diag_embed((damping * _level(second))[:, None].expand(second.shape[:2]))


def _nearest(real: Tensor, scale: Tensor, levels: Sequence[int], units: Tensor) -> Tensor:
    whole = units.to(real.dtype)
    return nearest_level(real / (scale * whole.clamp(min=1)), levels) * whole


def _with_feedback(weight: Tensor, second: Tensor, scale: Tensor, levels: Sequence[int], units: Tensor) -> Tensor:
    """Columns in the order of their weight in the error, each rounded after the error of those before it was spread over the rest."""
    order = torch.argsort(second.diagonal(dim1=1, dim2=2).mean(0), descending=True, stable=True)
    rest = weight[..., order].clone()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(second[:, order][:, :, order]))
    upper = torch.linalg.cholesky(inverse, upper=True)
    integers = torch.zeros_like(rest)
    for column, place in enumerate(order.tolist()):
        integers[..., column] = _nearest(rest[..., column], scale, levels, units[..., place])
        error = (rest[..., column] - integers[..., column] * scale) / upper[:, column, column, None]
        rest[..., column + 1 :] -= error[..., None] * upper[:, None, column, column + 1 :]
    return integers[..., torch.argsort(order)]


def _descend(integers: Tensor, weight: Tensor, second: Tensor, scale: Tensor, levels: Sequence[int], units: Tensor) -> bool:
    """One sweep: each column in turn takes the integers that are best while all others stand. Changes ``integers``; False: none moved."""
    slope = (integers * scale[..., None] - weight) @ second
    changed = False
    for column in range(weight.shape[-1]):
        curvature = second[:, column, column, None]
        wanted = _nearest(integers[..., column] * scale - slope[..., column] / curvature, scale, levels, units[..., column])
        step = (wanted - integers[..., column]) * scale
        if bool(step.any()):
            changed = True
            slope += step[..., None] * second[:, None, column]
            integers[..., column] = wanted
    return changed
