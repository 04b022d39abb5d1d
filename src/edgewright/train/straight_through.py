"""Exact integers whose gradients are those of real numbers: the straight-through estimator (Bengio et al. 2013, arXiv:1308.3432)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def pass_through(estimate: Tensor, exact: Tensor, low: float, high: float) -> Tensor:
    """``exact``, with the gradient of ``estimate`` where that lies within [``low``, ``high``]."""
    result = _PassThrough.apply(estimate, exact, low, high)  # type: ignore[no-untyped-call]
    assert isinstance(result, Tensor)
    return result


def pass_through_scaled(sums: Tensor, factor: Tensor, zero_point: float, exact: Tensor, low: float, high: float) -> Tensor:
    """``exact``, with the gradient of sums * factor + zero_point where that lies within [``low``, ``high``].

    ``sums``: (…, O) float32; ``factor``: (O,) or (1,).
    """
    result = _PassThroughScaled.apply(sums, factor, zero_point, exact, low, high)  # type: ignore[no-untyped-call]
    assert isinstance(result, Tensor)
    return result


def pass_latent(latent: Tensor, scale: Tensor, exact: Tensor, low: float, high: float) -> Tensor:
    """``exact``, with the gradient of latent / scale where that lies within [``low``, ``high``] or the step leads back there.

    What lies outside moves no further out, as latent weights that are clipped after each step (BinaryConnect, Courbariaux et al. 2015,
    arXiv:1511.00363); its integer does not depend on ``scale``, which broadcasts against ``latent``.
    """
    result = _PassLatent.apply(latent, scale, exact, low, high)  # type: ignore[no-untyped-call]
    assert isinstance(result, Tensor)
    return result


def _within(gradient: Tensor, estimate: Tensor, low: float, high: float) -> Tensor:
    """``gradient`` where ``estimate`` lies within [low, high], 0 elsewhere; one pass over memory, whose own bounds are exclusive."""
    bounds = np.nextafter(np.float32(low), np.float32(-np.inf)), np.nextafter(np.float32(high), np.float32(np.inf))
    return torch.ops.aten.hardtanh_backward(gradient.to(estimate.dtype), estimate, float(bounds[0]), float(bounds[1]))  # type: ignore[no-any-return]


class _PassThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, estimate: Tensor, exact: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(estimate)
        ctx.bounds = low, high
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (estimate,) = ctx.saved_tensors
        return _within(gradients[0], estimate, *ctx.bounds), None, None, None


class _PassThroughScaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sums: Tensor, factor: Tensor, zero_point: float, exact: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(torch.addcmul(torch.tensor(zero_point, dtype=sums.dtype), sums, factor), factor)
        ctx.bounds, ctx.zero_point = (low, high), zero_point
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        estimate, factor = ctx.saved_tensors
        inside = _within(gradients[0], estimate, *ctx.bounds)
        moved = None
        if ctx.needs_input_grad[1]:
            rows = inside.reshape(-1, inside.shape[-1])
            offsets = estimate.reshape(rows.shape).sub(ctx.zero_point)
            moved = (rows * offsets).sum(0) / factor  # The sums are what the estimates were made of.
            moved = moved.sum().reshape(factor.shape) if factor.numel() == 1 else moved
        return inside * factor if ctx.needs_input_grad[0] else None, moved, None, None, None, None


class _PassLatent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latent: Tensor, scale: Tensor, exact: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(latent / scale, scale)
        ctx.bounds = low, high
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (ratio, scale), (low, high), gradient = ctx.saved_tensors, ctx.bounds, gradients[0] / ctx.saved_tensors[1]
        inside = (ratio >= low) & (ratio <= high)
        inward = torch.where(ratio > high, gradient > 0, gradient < 0)
        moved = None
        if ctx.needs_input_grad[1]:
            moved = (torch.where(inside, -gradient * ratio, 0.0)).sum_to_size(scale.shape)
        return torch.where(inside | inward, gradient, 0.0), moved, None, None, None
