"""Ranges of activations from calibration data: minmax, percentile, or least squared error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.data import Data
from edgewright.errors import DataError, RecipeError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph, Value
from edgewright.ops.evaluate import evaluate
from edgewright.ops.requant import affine_quant

METHODS = ("minmax", "percentile", "mse")
BINS = 2048
CLIPS = 40


@dataclass
class Histogram:
    """What was seen of one value: extremes, and counts over BINS equal bins between them."""

    low: float = float("inf")
    high: float = float("-inf")
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))

    @property
    def centres(self) -> NDArray[np.float64]:
        width = (self.high - self.low) / BINS
        return self.low + width * (np.arange(BINS) + 0.5)


def calibrate(graph: Graph, data: Data, *, method: str, percentile: float, dtype: DType) -> dict[str, tuple[float, float]]:
    """Value name → (low, high) for every activation of float ``graph``.

    minmax: the extremes. percentile: the ``percentile`` (in %) of values in the middle stay inside. mse: the clipping that gives the least
    squared error at ``dtype``'s width over the observed histogram.
    """
    if method not in METHODS:
        raise RecipeError(f"unknown range method {method!r}", hint=f"one of {', '.join(METHODS)}")
    if not 50.0 < percentile <= 100.0:
        raise RecipeError(f"percentile must lie above 50 and up to 100, got {percentile}")
    seen: dict[str, Histogram] = {}

    def extremes(value: Value, x: Tensor) -> None:
        entry = seen.setdefault(value.name, Histogram())
        low, high = torch.aminmax(x)
        entry.low, entry.high = min(entry.low, float(low)), max(entry.high, float(high))

    evaluate(graph, data.inputs, observe=extremes)
    for name, entry in seen.items():
        if not (np.isfinite(entry.low) and np.isfinite(entry.high)):
            raise DataError(f"value {name!r} is not finite on the calibration data", hint="check the data for NaN, and that it is preprocessed as in training")
    if method == "minmax":
        return {name: (entry.low, entry.high) for name, entry in seen.items()}

    def count(value: Value, x: Tensor) -> None:
        entry = seen[value.name]
        if entry.high > entry.low:
            entry.counts += torch.histc(x.float(), BINS, entry.low, entry.high).to(torch.int64).numpy()

    evaluate(graph, data.inputs, observe=count)
    choose = _least_error if method == "mse" else _percentile
    return {name: choose(entry, percentile, dtype) if entry.high > entry.low else (entry.low, entry.high) for name, entry in seen.items()}


def _percentile(entry: Histogram, percentile: float, dtype: DType) -> tuple[float, float]:
    tail = (100.0 - percentile) / 200.0
    share = np.cumsum(entry.counts) / max(1, entry.counts.sum())
    width = (entry.high - entry.low) / BINS
    first = int(np.searchsorted(share, tail, side="right"))
    last = int(np.searchsorted(share, 1.0 - tail, side="left"))
    return entry.low + width * min(first, BINS - 1), entry.low + width * (min(last, BINS - 1) + 1)


def _least_error(entry: Histogram, percentile: float, dtype: DType) -> tuple[float, float]:
    """Shrink both ends together, then each alone, and keep the least squared error of rounding and clipping."""
    best = (entry.low, entry.high)
    best_error = _error(entry, *best, dtype)
    for ends in ((True, True), (True, False), (False, True)):
        start = best
        for step in range(1, CLIPS):
            factor = 1.0 - step / (CLIPS + 4)
            trial = (start[0] * factor if ends[0] else start[0], start[1] * factor if ends[1] else start[1])
            error = _error(entry, *trial, dtype)
            if error < best_error:
                best, best_error = trial, error
    return best


def _error(entry: Histogram, low: float, high: float, dtype: DType) -> float:
    quant = affine_quant(low, high, dtype)
    centres = entry.centres
    steps = np.clip(np.rint(centres / quant.scale[0]) + quant.zero_point[0], dtype.minimum, dtype.maximum)
    return float((((steps - quant.zero_point[0]) * quant.scale[0] - centres) ** 2 * entry.counts).sum())


def union(ranges: Mapping[str, tuple[float, float]], names: list[str]) -> tuple[float, float]:
    """The range that covers those of all ``names``."""
    return min(ranges[name][0] for name in names), max(ranges[name][1] for name in names)
