"""A convolution's channels as few that are computed and many that are guessed from those, each by a small filter on one of them.

The guess of a channel before its activation, from another one after it, is a linear regression; its moments are taken over the layer's own
outputs on data. Which channels are computed is chosen greedily (facility location), which of them each other one is guessed from by an
assignment in which every computed channel serves the same number.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from edgewright.analysis.linear import FloatArray

RIDGE = 1e-4
"""Added to the diagonal of what is inverted, as a share of its mean."""
Indices = NDArray[np.int64]


@dataclass
class Outputs:
    """Sums over positions of a layer with ``channels`` outputs: y before the activation, a: ``taps`` numbers around it after."""

    channels: int
    kernel: int
    count: int = 0
    mean_y: FloatArray = field(init=False)
    mean_a: FloatArray = field(init=False)
    square_y: FloatArray = field(init=False)
    square_a: FloatArray = field(init=False)
    cross: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        size, taps = self.channels, self.kernel**2
        self.mean_y, self.square_y = np.zeros(size), np.zeros(size)
        self.mean_a, self.square_a = np.zeros((size, taps)), np.zeros((size, taps, taps))
        self.cross = np.zeros((size, taps, size))

    def add(self, before: Tensor, after: Tensor) -> None:
        """Samples (N, H, W, C) of the layer's output before and after its activation."""
        edge, taps = self.kernel // 2, self.kernel**2
        planes = after.permute(0, 3, 1, 2)
        windows = F.unfold(planes.reshape(-1, 1, *planes.shape[2:]), self.kernel, padding=edge)
        around = windows.reshape(len(after), self.channels, taps, -1).permute(1, 2, 0, 3).reshape(self.channels, taps, -1)
        y = before.permute(3, 0, 1, 2).reshape(self.channels, -1)
        self.count += y.shape[1]
        self.mean_y += y.sum(1, dtype=torch.float64).numpy()
        self.mean_a += around.sum(2, dtype=torch.float64).numpy()
        self.square_y += y.double().square().sum(1).numpy()
        self.square_a += (around @ around.transpose(1, 2)).double().numpy()
        flat = around.reshape(-1, y.shape[1]) @ y.T
        self.cross += flat.reshape(self.channels, taps, -1).double().numpy()


@dataclass(frozen=True)
class Ghosts:
    """``order``: old channel at each place of the output, the computed ones first; ``filters`` (ghosts, kernel, kernel, 1) and ``bias``
    make the others. ``error``: the share of the power of all outputs that is lost."""

    order: Indices
    computed: int
    filters: FloatArray
    bias: FloatArray
    error: float


def ghosts(seen: Outputs, ratio: int, *, free: bool) -> Ghosts:
    """The best ghosts with one of ``ratio`` channels computed; ``free``: channels may change places, else the first ones are computed."""
    means_y, means_a = seen.mean_y / seen.count, seen.mean_a / seen.count
    variance = np.maximum(seen.square_y / seen.count - means_y**2, 0.0)
    around = seen.square_a / seen.count - means_a[:, :, None] * means_a[:, None, :]
    level = np.trace(around, axis1=1, axis2=2) / around.shape[1]
    around += np.maximum(RIDGE * level, 1e-12)[:, None, None] * np.eye(around.shape[1])
    cross = seen.cross / seen.count - means_a[:, :, None] * means_y
    fits = np.linalg.solve(around, cross)
    gains = np.clip(np.einsum("ptj,ptj->pj", fits, cross), 0.0, variance)
    computed, each = seen.channels // ratio, ratio - 1
    chosen = _chosen(gains, variance, computed) if free else np.arange(computed)
    others = np.setdiff1d(np.arange(seen.channels), chosen)
    sources = np.repeat(chosen, each)
    if free:
        rows, places = linear_sum_assignment(gains[np.ix_(sources, others)], maximize=True)
        others = others[places[np.argsort(rows)]]
    filters: FloatArray = np.asarray(fits[sources, :, others], np.float64)
    lost = float(np.sum(variance[others] - gains[sources, others]) / max(float(variance.sum()), 1e-30))
    bias = means_y[others] - np.sum(filters * means_a[sources], axis=1)
    shape = (len(others), seen.kernel, seen.kernel, 1)
    return Ghosts(np.concatenate([chosen, others]), computed, filters.reshape(shape), bias, lost)


def _chosen(gains: FloatArray, variance: FloatArray, count: int) -> Indices:
    """``count`` channels, one after the other that explains most of what is not explained yet; itself it explains whole."""
    explains = gains.copy()
    np.fill_diagonal(explains, variance)
    best = np.zeros(len(variance))
    found: list[int] = []
    for _ in range(count):
        value = np.maximum(explains, best).sum(axis=1)
        value[found] = -1.0
        found.append(int(value.argmax()))
        best = np.maximum(best, explains[found[-1]])
    return np.sort(np.asarray(found, np.int64))
