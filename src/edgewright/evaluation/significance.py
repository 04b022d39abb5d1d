"""Whether a change is more than chance: intervals and tests on pairs, because both networks answer the same samples.

McNemar's exact and mid-p test (McNemar 1947; Fagerland et al. 2013), Tango's score interval for the difference of paired proportions
(Tango 1998, Statistics in Medicine 17, 891), and the bias-corrected accelerated bootstrap (Efron 1987) for every other metric.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

from edgewright.errors import DataError

CONFIDENCE = 0.95
POWER = 0.8
"""The chance with which the number of samples that is asked for would tell."""
TOLERANCE = 0.01
"""A loss, as a share of 1, that does not matter unless the user says otherwise."""
RESAMPLES = 2000
CHUNK = 1 << 22
"""Numbers that are drawn at a time."""
Decision = Literal["no significant loss", "significant loss", "significant gain", "undecided"]
Floats = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class McNemar:
    """Two-sided p-values that ``lost`` and ``gained`` samples are equally likely; mid-p is the less conservative one."""

    exact: float
    mid: float


@dataclass(frozen=True)
class Verdict:
    """What can be said of a change in a share of right answers: ``change`` is after - before, with its 95 % ``interval``.

    ``lost``, ``gained``: samples that only the network before, or only the one after, has right. ``more``: how many more samples would
    tell, where the verdict is "undecided".
    """

    decision: Decision
    change: float
    interval: Interval
    lost: int
    gained: int
    samples: int
    p: float
    more: int | None

    @property
    def text(self) -> str:
        """One line."""
        if self.decision == "no significant loss":
            return f"no significant loss at 95 % (at most {100 * max(0.0, -self.interval[0]):.2f} points)"
        if self.decision == "undecided":
            return f"undecided: {self.more:,} more samples would tell"
        return f"{self.decision} at 95 % (p = {self.p:.2g})"


def mcnemar(lost: int, gained: int) -> McNemar:
    """The test on the pairs that disagree: ``lost`` of them were right before, ``gained`` are right after."""
    total, less = lost + gained, min(lost, gained)
    if total == 0:
        return McNemar(1.0, 1.0)
    tail = float(2 * binom.cdf(less, total, 0.5))
    return McNemar(min(1.0, tail), min(1.0, tail - float(binom.pmf(less, total, 0.5))))


def score_interval(
    lost: int | NDArray[np.integer], gained: int | NDArray[np.integer], samples: int, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """(low, high) of the change in the share of right answers, gained less lost; arrays give arrays.

    Unlike a resampled interval it does not shrink to nothing where no sample changed.
    """
    c, b = np.broadcast_arrays(np.asarray(lost, np.float64), np.asarray(gained, np.float64))
    n, z = float(samples), float(norm.ppf(0.5 + confidence / 2))

    def statistic(delta: Floats) -> Floats:
        linear = -b - c + (2 * n - b + c) * delta
        root = np.sqrt(np.maximum(linear**2 + 8 * n * c * delta * (1 - delta), 0.0))
        spread = n * ((root - linear) / (2 * n) + delta * (1 - delta))
        return np.asarray((b - c - n * delta) / np.sqrt(np.maximum(spread, 1e-300)))

    ends = []
    for goal in (z, -z):
        low, high = np.full(b.shape, -1.0), np.full(b.shape, 1.0)
        for _ in range(60):
            middle = (low + high) / 2
            above = statistic(middle) > goal
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        ends.append((low + high) / 2)
    return ends[0], ends[1]


def judge(right_before: NDArray[np.bool_], right_after: NDArray[np.bool_], tolerance: float = TOLERANCE) -> Verdict:
    """The verdict on the same samples, right or wrong before and after.

    A loss is significant where McNemar's mid-p is below 5 %. Without one, the loss is called insignificant only where the interval ends
    within ``tolerance``: few samples alone never prove that nothing was lost.
    """
    before, after = np.asarray(right_before, bool), np.asarray(right_after, bool)
    if before.shape != after.shape or before.ndim != 1 or not before.size:
        raise DataError(f"{before.shape} and {after.shape} answers cannot be paired", hint="let both networks answer the same samples")
    lost, gained, count = int(np.sum(before & ~after)), int(np.sum(after & ~before)), len(before)
    low, high = (float(end) for end in score_interval(lost, gained, count))
    p = mcnemar(lost, gained).mid
    decision: Decision
    if p < 1 - CONFIDENCE and lost != gained:
        decision = "significant loss" if lost > gained else "significant gain"
    else:
        decision = "no significant loss" if -low <= tolerance else "undecided"
    more = max(1, samples_needed(lost, gained, count, tolerance) - count) if decision == "undecided" else None
    return Verdict(decision, (gained - lost) / count, (low, high), lost, gained, count, p, more)


def samples_needed(lost: int, gained: int, samples: int, tolerance: float = TOLERANCE, power: float = POWER) -> int:
    """Samples with which, at the rates seen, McNemar's test finds the loss or the interval ends within ``tolerance``, whichever is sooner.

    Sources: Connor 1987 for the test, Nam 1997 for the interval; both with chance ``power``.
    """
    unequal = (lost + gained + 1) / (samples + 2)
    loss = (lost - gained) / samples
    alpha, beta = float(norm.ppf(0.5 + CONFIDENCE / 2)), float(norm.ppf(power))
    found = []
    spread = max(unequal - loss**2, 1e-12)
    if loss > 0:
        found.append(((alpha * unequal**0.5 + beta * spread**0.5) / loss) ** 2)
    if loss < tolerance:
        found.append((alpha + beta) ** 2 * spread / (tolerance - loss) ** 2)
    return int(np.ceil(min(found, default=float(samples))))


def mean_interval(
    differences: Floats,
    *,
    groups: NDArray[np.generic] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """BCa bootstrap interval of the mean of per-sample ``differences`` (N,). ``groups``: whole groups are drawn, not single samples."""
    sums, sizes = grouped_sums(differences, groups)
    random, units = np.random.default_rng(seed), len(sums)
    drawn = np.empty(resamples)
    step = max(1, CHUNK // units)
    for start in range(0, resamples, step):
        picked = random.integers(0, units, (min(step, resamples - start), units))
        drawn[start : start + step] = sums[picked].sum(1) / sizes[picked].sum(1)
    jackknife = (sums.sum() - sums) / np.maximum(sizes.sum() - sizes, 1e-300)
    return _bca(drawn, float(sums.sum() / sizes.sum()), jackknife, confidence)


def grouped_sums(differences: Floats, groups: NDArray[np.generic] | None) -> tuple[Floats, Floats]:
    """The sum and the size of each group; of each sample where there are no groups."""
    if groups is None:
        return np.asarray(differences, np.float64), np.ones(len(differences))
    _, index = np.unique(groups, return_inverse=True)
    return np.bincount(index, differences).astype(np.float64), np.bincount(index).astype(np.float64)


def bootstrap_interval(
    statistic: Callable[[NDArray[np.int64]], float],
    samples: int,
    *,
    groups: NDArray[np.generic] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """BCa bootstrap interval of any ``statistic`` of samples: called with indices (n,), such as the change of F1 on those samples.

    ``groups``: whole groups are drawn. The acceleration comes from leaving out up to 200 units in turn.
    """
    members = _members(samples, groups)
    random, units = np.random.default_rng(seed), len(members)
    everything = np.arange(samples)
    drawn = np.asarray([statistic(np.concatenate([members[unit] for unit in random.integers(0, units, units)])) for _ in range(resamples)])
    left = np.linspace(0, units - 1, min(units, 200)).astype(int)
    kept = np.ones(samples, bool)
    jackknife = []
    for unit in left:
        kept[members[unit]] = False
        jackknife.append(statistic(everything[kept]))
        kept[members[unit]] = True
    return _bca(drawn, statistic(everything), np.asarray(jackknife), confidence)


def _members(samples: int, groups: NDArray[np.generic] | None) -> list[NDArray[np.int64]]:
    if groups is None:
        return list(np.arange(samples)[:, None])
    _, index = np.unique(groups, return_inverse=True)
    return [np.flatnonzero(index == unit) for unit in range(int(index.max()) + 1)]


def _bca(drawn: Floats, observed: float, jackknife: Floats, confidence: float) -> Interval:
    """The bias-corrected and accelerated ends of the bootstrap distribution ``drawn``; all of them where it does not vary."""
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return float("nan"), float("nan")
    if float(np.ptp(drawn)) == 0.0:
        return float(drawn[0]), float(drawn[0])
    below = (np.sum(drawn < observed) + 0.5 * np.sum(drawn == observed)) / len(drawn)
    bias = float(norm.ppf(np.clip(below, 1 / (2 * len(drawn)), 1 - 1 / (2 * len(drawn)))))
    off = jackknife.mean() - jackknife
    power = float(np.sum(off**2)) ** 1.5
    acceleration = float(np.sum(off**3)) / (6 * power) if power > 0 else 0.0
    ends = []
    for share in ((1 - confidence) / 2, (1 + confidence) / 2):
        z = bias + float(norm.ppf(share))
        ends.append(float(np.quantile(drawn, float(norm.cdf(bias + z / (1 - acceleration * z))))))
    return ends[0], ends[1]
