"""Where a network is worst: an average hides the class, the user or the recording that it fails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.evaluation.metrics import Metric, Reals
from edgewright.evaluation.significance import score_interval

FEWEST = 5
"""Samples below which a slice is no evidence."""


@dataclass(frozen=True)
class Slice:
    """One class or group: its figure before and after, over ``samples`` of it. ``interval``: of the change, None unless it is a share.

    With so many slices one of them is worst by chance: the interval is that of this slice alone.
    """

    name: str
    samples: int
    before: float
    after: float
    interval: tuple[float, float] | None

    @property
    def change(self) -> float:
        return self.after - self.before


def slices(metric: Metric, before: Reals, after: Reals, truth: NDArray[np.generic], by: NDArray[np.generic]) -> list[Slice]:
    """The figure of every distinct entry of ``by`` (N,) with at least FEWEST samples, the worst after first."""
    found = []
    for name in np.unique(by):
        chosen = by == name
        if int(chosen.sum()) < FEWEST:
            continue
        pair = [metric.of(outputs[chosen], truth[chosen]) for outputs in (before, after)]
        interval = None
        if metric.name == "accuracy" and metric.of_each is not None:
            first, second = (metric.of_each(outputs[chosen], truth[chosen]) for outputs in (before, after))
            low, high = score_interval(int(np.sum(first > second)), int(np.sum(second > first)), int(chosen.sum()))
            interval = float(low), float(high)
        found.append(Slice(str(name), int(chosen.sum()), pair[0], pair[1], interval))
    return sorted(found, key=lambda entry: entry.after if metric.higher_is_better else -entry.after)
