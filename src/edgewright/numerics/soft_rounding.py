"""Rounding that is learned: each number goes up by a share in [0, 1] that is pushed to either end (AdaRound), and grids of learned steps.

The rectified sigmoid and its regularizer with a falling exponent: Nagel et al. 2020 (arXiv:2004.10568). Step sizes by their gradient: Esser
et al. 2019 (LSQ, arXiv:1902.08153). Quantization that leaves out a random part of the numbers: Wei et al. 2022 (QDrop, arXiv:2203.05740).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

STRETCH = (-0.1, 1.1)
"""The sigmoid is stretched to this and cut to [0, 1], so that both ends are reached."""
FIRST_POWER, LAST_POWER = 20.0, 2.0
"""Of the regularizer: it lets shares move at first, and presses them to 0 or 1 at last."""


def share(latent: Tensor) -> Tensor:
    """The part of a step that numbers go up, from ``latent`` ones: in [0, 1], of the same shape."""
    low, high = STRETCH
    return (torch.sigmoid(latent) * (high - low) + low).clamp(0.0, 1.0)


def latent_of(part: Tensor) -> Tensor:
    """The latent numbers whose :func:`share` is ``part``, which lies in [0, 1]."""
    low, high = STRETCH
    return -torch.log((high - low) / (part - low) - 1)


def slope_of_share(latent: Tensor) -> Tensor:
    """How fast the share rises with ``latent``, the cut left aside."""
    low, high = STRETCH
    part = torch.sigmoid(latent)
    return (part * (1 - part) * (high - low)).clamp(min=1e-6)


def undecided(part: Tensor, power: float) -> Tensor:
    """How far shares are from 0 and 1, summed: each 0 at either end, 1 in the middle; a scalar."""
    return (1 - (2 * part - 1).abs().pow(power)).sum()


def power_at(done: float) -> float:
    """The regularizer's exponent when a part ``done`` (0 to 1) of the annealing is over: along half a cosine."""
    return LAST_POWER + (FIRST_POWER - LAST_POWER) * 0.5 * (1 + math.cos(math.pi * done))


def on_grid(x: Tensor, step: Tensor, zero_point: int, low: int, high: int, kept: Tensor | None = None) -> Tensor:
    """``x`` on the grid of ``step`` (a scalar) and ``zero_point`` within [``low``, ``high``]; as it is where ``kept`` is True.

    The gradient passes straight through the rounding, and goes to ``step`` as in LSQ.
    """
    result = _OnGrid.apply(x, step, zero_point, low, high, kept)  # type: ignore[no-untyped-call]
    assert isinstance(result, Tensor)
    return result


class _OnGrid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, zero_point: int, low: int, high: int, kept: Tensor | None) -> Tensor:
        ratio = x / step
        rounded = ratio.round().clamp_(low - zero_point, high - zero_point)
        ctx.save_for_backward(ratio, rounded, kept)
        ctx.bounds = low - zero_point, high - zero_point
        result = rounded * step
        return result if kept is None else torch.where(kept, x, result)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        ratio, rounded, kept = ctx.saved_tensors
        low, high = ctx.bounds
        bound = gradients[0] if kept is None else gradients[0].masked_fill(kept, 0.0)
        inside = (ratio > low - 0.5) & (ratio < high + 0.5)
        moved = None
        if ctx.needs_input_grad[1]:
            moved = (bound * torch.where(inside, rounded - ratio, rounded)).sum()
        passed = bound * inside if kept is None else torch.where(kept, gradients[0], bound * inside)
        return passed, moved, None, None, None, None
