"""Channels of an activation brought to a like size, so that the one scale of the tensor suits them all."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgewright.analysis.crossings import Arrays, Crossing, crossings, headroom
from edgewright.analysis.linear import FloatArray
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph, Value
from edgewright.ops.evaluate import evaluate_in_order
from edgewright.passes.registry import Context, graph_pass

LARGEST = 64.0
"""The most that a channel is moved against another."""
SMALLEST = 0.02


@graph_pass(level="float", exact=False, needs_data=True)
def smooth_activations(graph: Graph, ctx: Context, *, strength: float = 0.5) -> Graph:
    """Move the size of each channel of an activation into the weights that read it, wherever a layer or a norm before can give it away.

    A channel of peak a on calibration data, read by weights up to w, is divided by a**strength / w**(1 - strength). Where relu6 clips on
    the way, channels that do not reach 6 are only enlarged, by at most (6 / a)**strength, and the others stay: outputs may then change
    where inputs go beyond those seen. Run it after fold_batchnorm.
    Source: SmoothQuant, Xiao et al. 2023 (arXiv:2211.10438).
    """
    if not 0 < strength <= 1:
        raise RecipeError(f"smooth_activations: strength is {strength}", hint="above 0, up to 1; 0.5 is usual")
    found = crossings(graph)
    peaks = _peaks(graph, ctx, found) if found else {}
    arrays = Arrays(graph)
    touched: list[Crossing] = []
    for crossing in found:
        factors = _factors(crossing, peaks, arrays.columns(crossing), strength)
        if np.abs(np.log(factors)).max(initial=0.0) <= SMALLEST:
            continue
        arrays.move(crossing, factors)
        touched.append(crossing)
        ctx.did(crossing.maker.node.name, crossing.told(factors))
    return arrays.apply(touched) if touched else graph


def _factors(crossing: Crossing, peaks: dict[str, FloatArray], columns: FloatArray, strength: float) -> FloatArray:
    sizes = np.max([peaks[name] for name in crossing.read], axis=0)
    alive = (sizes > 0) & (columns > 0)
    if not alive.any():
        return np.ones_like(sizes)
    safe, weights = np.where(alive, sizes, 1.0), np.where(alive, columns, 1.0)
    factors = np.where(alive, weights ** (1 - strength) / safe**strength, 1.0)
    factors = factors / np.exp(np.median(np.log(factors[alive])))
    factors = np.where(alive, np.clip(factors, 1 / LARGEST, LARGEST), 1.0)
    free = headroom(crossing, peaks)
    if free is None:
        # The largest channel keeps its size: so do the tensor's range and the biases of the layers behind.
        return np.asarray(np.where(alive, factors * (safe[alive].max() / (safe * factors)[alive].max()), 1.0))
    return np.asarray(np.where(alive, np.clip(factors * (6.0 / safe.max()), 1.0, free**strength), 1.0))


def _peaks(graph: Graph, ctx: Context, found: list[Crossing]) -> dict[str, FloatArray]:
    """The largest magnitude of each channel on calibration data, by value name: (C,)."""
    wanted = {name for crossing in found for name in (*crossing.read, *crossing.clipped)}
    seen: dict[str, Tensor] = {}

    def observe(value: Value, x: Tensor) -> None:
        if value.name in wanted:
            largest = x.abs().reshape(-1, x.shape[-1]).amax(0).to(torch.float64)
            seen[value.name] = torch.maximum(seen[value.name], largest) if value.name in seen else largest

    evaluate_in_order(graph, ctx.calibration().inputs, observe=observe)
    return {name: array.numpy() for name, array in seen.items()}
