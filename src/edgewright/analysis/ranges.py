"""Ranges of activations from calibration data: the extremes, or a clipping that costs less than it gains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.data import Data
from edgewright.errors import DataError, RecipeError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph, Value
from edgewright.ops.evaluate import evaluate_in_order
from edgewright.ops.requant import affine_quant

Range = tuple[float, float]
"""Least and greatest real."""
METHODS = ("minmax", "percentile", "mse", "kl", "octav")
BINS = 8192
CLIPS = 40
OCTAV_ROUNDS = 100
FILLING = 1e30
"""Beyond this magnitude, what operators that only move numbers fill in means "never wins" (padding before a maximum)."""


@dataclass
class Histogram:
    """What was seen of one value: extremes, and counts over BINS equal bins between them."""

    low: float = float("inf")
    high: float = float("-inf")
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))

    @property
    def centres(self) -> NDArray[np.float64]:
        width = (self.high - self.low) / BINS
        return self.low + width * (np.arange(BINS, dtype=np.float64) + 0.5)


def calibrate(graph: Graph, data: Data, *, method: str, percentile: float, dtype: DType) -> dict[str, Range]:
    """Value name → (low, high) for every input and every node output of float ``graph``.

    minmax: the extremes. percentile: the ``percentile`` (in %) of values in the middle stay inside. mse: the clipping that gives the least
    squared error at ``dtype``'s width over the observed histogram. kl: the clipping whose rounded histogram diverges least from the
    observed one (Migacz, GTC 2017). octav: the clipping with the least expected noise, by fixed-point iteration (Sakr et al. 2022,
    arXiv:2206.06501). Samples of a network with states follow each other in time.
    """
    if method not in METHODS:
        raise RecipeError(f"unknown range method {method!r}", hint=f"one of {', '.join(METHODS)}")
    if not 50.0 < percentile <= 100.0:
        raise RecipeError(
            f"percentile must lie above 50 and up to 100, got {percentile}", hint="99.99 keeps all but one number in ten thousand"
        )
    floors = _floors(graph)
    tops: dict[str, float] = {}
    moved = frozenset(name for node in graph.nodes if node.op.same_quant for name in node.outputs)
    seen: dict[str, Histogram] = {}

    def extremes(value: Value, x: Tensor) -> None:
        entry = seen.setdefault(value.name, Histogram())
        low, high = _extremes(x, value.name in moved)
        entry.low, entry.high = min(entry.low, low), max(entry.high, high)
        if value.name in floors and x.numel():
            tops[value.name] = min(tops.get(value.name, math.inf), float(x.amax(-1).min()))

    evaluate_in_order(graph, data.inputs, observe=extremes)
    _check_finite(seen)
    _leave_out_the_unheard(graph, seen, {name: tops[name] - floors[name] for name in tops})
    if method == "minmax":
        return {name: (entry.low, entry.high) for name, entry in seen.items()}

    def count(value: Value, x: Tensor) -> None:
        entry = seen[value.name]
        if entry.high > entry.low:
            entry.counts += torch.histc(x.float(), BINS, entry.low, entry.high).to(torch.int64).numpy()

    evaluate_in_order(graph, data.inputs, observe=count)
    return {name: _choose(entry, method, percentile, dtype) for name, entry in seen.items()}


def _floors(graph: Graph) -> dict[str, float]:
    """Value → how far below the greatest of a row its elements are heard, where all that reads it says so."""
    found: dict[str, float] = {}
    for name, readers in graph.consumers.items():
        reaches = [node.op.reach() for node in readers]
        if name not in graph.kept and all(reach is not None for reach in reaches):
            found[name] = max(reach for reach in reaches if reach is not None)
    return found


def _leave_out_the_unheard(graph: Graph, seen: Mapping[str, Histogram], floors: Mapping[str, float]) -> None:
    """Raise the low end of what lies below its floor, as masked scores of attention do, and of the mask that was added to it."""
    lows: dict[str, float] = {}
    for name, floor in floors.items():
        entry, maker = seen[name], graph.producers.get(name)
        entry.low = min(max(entry.low, floor), entry.high)
        if maker is not None and all(other in seen for other in maker.inputs):
            pairs = [(seen[other].low, seen[other].high) for other in maker.inputs]
            for index, other in enumerate(maker.inputs):
                lows[other] = min(lows.get(other, math.inf), maker.op.heard(index, pairs, (entry.low, entry.high))[0])
    raised = {*floors}
    for name, low in lows.items():
        while name in seen and all(node.outputs[0] in raised for node in graph.consumers[name]):
            seen[name].low = min(max(seen[name].low, low), seen[name].high)
            raised.add(name)
            maker = graph.producers.get(name)
            name = maker.inputs[0] if maker is not None and maker.op.same_quant and len(maker.inputs) == 1 else ""


def _extremes(x: Tensor, moved: bool) -> Range:
    """Least and greatest element, (0, 0) of none; fillings do not count where numbers are only ``moved``."""
    if x.numel() == 0:
        return 0.0, 0.0
    low, high = (float(end) for end in torch.aminmax(x))
    if moved and max(-low, high) >= FILLING:
        return _extremes(x[x.abs() < FILLING], False)
    return low, high


def _check_finite(seen: Mapping[str, Histogram]) -> None:
    for name, entry in seen.items():
        if not (np.isfinite(entry.low) and np.isfinite(entry.high)):
            raise DataError(
                f"value {name!r} is not finite on the calibration data",
                hint="is the data preprocessed as in training, and does the network give numbers on it before optimization?",
            )


def _choose(entry: Histogram, method: str, percentile: float, dtype: DType) -> Range:
    if entry.high <= entry.low or not entry.counts.any():
        return entry.low, entry.high
    if method == "percentile":
        return _percentile(entry, percentile)
    return _octav(entry, dtype) if method == "octav" else _least(entry, dtype, _error if method == "mse" else _divergence)


def _percentile(entry: Histogram, percentile: float) -> Range:
    tail = (100.0 - percentile) / 200.0
    share = np.cumsum(entry.counts) / entry.counts.sum()
    width = (entry.high - entry.low) / BINS
    first = int(np.searchsorted(share, tail, side="right"))
    last = int(np.searchsorted(share, 1.0 - tail, side="left"))
    high = entry.high if last >= BINS - 1 else entry.low + width * (last + 1)
    return entry.low + width * min(first, BINS - 1), high


def _least(entry: Histogram, dtype: DType, loss: Callable[[Histogram, Range, DType], float]) -> Range:
    """Shrink both ends together, then each alone, and keep the least ``loss``."""
    best = (entry.low, entry.high)
    best_error = loss(entry, best, dtype)
    for ends in ((True, True), (True, False), (False, True)):
        start = best
        for step in range(1, CLIPS):
            factor = 1.0 - step / (CLIPS + 4)
            trial = (start[0] * factor if ends[0] else start[0], start[1] * factor if ends[1] else start[1])
            error = loss(entry, trial, dtype)
            if error < best_error:
                best, best_error = trial, error
    return best


def _error(entry: Histogram, trial: Range, dtype: DType) -> float:
    quant = affine_quant(*trial, dtype)
    centres = entry.centres
    steps = np.clip(np.rint(centres / quant.scale[0]) + quant.zero_point[0], dtype.minimum, dtype.maximum)
    return float((((steps - quant.zero_point[0]) * quant.scale[0] - centres) ** 2 * entry.counts).sum())


def _divergence(entry: Histogram, trial: Range, dtype: DType) -> float:
    """Kullback-Leibler divergence from the observed histogram, its tails moved into the ends of ``trial``, to its rounded form.

    Each step of the grid spreads what falls to it evenly over those of its bins that hold anything; bins beyond the ends hold nothing.
    """
    low, high = min(trial[0], 0.0), max(trial[1], 0.0)
    centres, counts = entry.centres, entry.counts.astype(np.float64)
    inside = np.flatnonzero((centres >= low) & (centres <= high))
    if len(inside) == 0:
        return math.inf
    kept = counts[inside]
    clipped = kept.copy()
    clipped[0] += counts[: inside[0]].sum()
    clipped[-1] += counts[inside[-1] + 1 :].sum()
    quant = affine_quant(low, high, dtype)
    steps = np.rint(centres[inside] / quant.scale[0]).astype(np.int64)
    steps -= steps.min()
    filled = kept > 0
    sums, sizes = np.bincount(steps, kept), np.bincount(steps, filled)
    spread = np.where(filled, sums[steps] / np.maximum(sizes[steps], 1), 0.0)
    share, rounded = clipped / clipped.sum(), spread / max(spread.sum(), 1.0)
    seen = share > 0
    return float((share[seen] * np.log(share[seen] / np.maximum(rounded[seen], 1e-12))).sum())


def _octav(entry: Histogram, dtype: DType) -> Range:
    """The clipping s with s = E[|x|, |x| > s] / (noise E[0 < |x| <= s] + P[|x| > s]), which makes rounding and clipping noise least.

    The noise of rounding is step² / 12: a third of 4**-bits s² where numbers have both signs, a twelfth where they have one.
    """
    sizes, counts = np.abs(entry.centres), entry.counts.astype(np.float64)
    signed = entry.low < 0 < entry.high
    noise = 4.0**-dtype.bits / (3 if signed else 12)
    total = counts[sizes > 0].sum()
    clip = float((sizes * counts).sum() / max(total, 1.0))
    for _ in range(OCTAV_ROUNDS):
        beyond = sizes > clip
        outside = counts[beyond].sum()
        before, clip = clip, float((sizes[beyond] * counts[beyond]).sum() / (noise * (total - outside) + outside))
        if abs(clip - before) <= 1e-6 * before:
            break
    return max(entry.low, -clip), min(entry.high, clip)


def union(ranges: Iterable[Range]) -> Range:
    """The range that covers all ``ranges``, at least one."""
    listed = list(ranges)
    return min(low for low, _ in listed), max(high for _, high in listed)


def within(inner: Range, outer: Range) -> Range:
    """``inner`` clamped to ``outer``."""
    return min(max(inner[0], outer[0]), outer[1]), max(min(inner[1], outer[1]), outer[0])
