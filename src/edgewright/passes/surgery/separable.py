"""A convolution as depthwise filters and a 1x1 convolution: the two that give its outputs best, by alternating least squares.

Both steps are linear and solved in closed form from the second moments (K, K) of the numbers under the window (taps by channels, as in
passes/columns.py); the identity stands for moments that are not known. The start is the best filter for each channel (a rank-1 matrix).
"""

from __future__ import annotations

import numpy as np

from edgewright.analysis.linear import FloatArray
from edgewright.passes.surgery.low_rank import root

RIDGE = 1e-6
"""Added to the diagonal of what is inverted, as a share of its mean."""


def separated(weight: FloatArray, second: FloatArray | None, rounds: int) -> tuple[FloatArray, FloatArray]:
    """(filters (I, kh, kw, 1), mixing (O, 1, 1, I)) for ``weight`` (O, kh, kw, I)."""
    outputs, rows, columns, channels = weight.shape
    taps = rows * columns
    moment = np.eye(taps * channels) if second is None else second
    cross = weight.reshape(outputs, -1) @ moment
    blocks = moment.reshape(taps, channels, taps, channels)
    filters = _first_filters(weight.reshape(outputs, taps, channels), blocks)
    mixing = _mixing(filters, cross, blocks)
    for _ in range(rounds):
        filters = _filters(mixing, cross, blocks)
        mixing = _mixing(filters, cross, blocks)
    size = np.sqrt(np.square(filters).mean(1, keepdims=True))
    size[size == 0] = 1.0
    return (filters / size).reshape(channels, rows, columns, 1), (mixing * size.T).reshape(outputs, 1, 1, channels)


def together(filters: FloatArray, mixing: FloatArray) -> FloatArray:
    """The one weight (O, kh, kw, I) that both come to."""
    whole: FloatArray = np.einsum("iabx,oyzi->oabi", filters, mixing)
    return whole


def grouped(weight: FloatArray, second: FloatArray | None, groups: int) -> FloatArray:
    """Weight (O, kh, kw, I / groups) of a convolution with ``groups`` that gives the outputs of ``weight`` (O, kh, kw, I) best."""
    outputs, rows, columns, channels = weight.shape
    narrow, wide, size = channels // groups, outputs // groups, rows * columns * channels
    moment = np.eye(size) if second is None else second
    places = np.arange(size).reshape(rows * columns, channels)
    found = []
    for group in range(groups):
        seen = places[:, group * narrow : (group + 1) * narrow].reshape(-1)
        own = weight[group * wide : (group + 1) * wide].reshape(wide, -1)
        found.append(_solved(moment[np.ix_(seen, seen)], own @ moment[:, seen]).reshape(wide, rows, columns, narrow))
    return np.concatenate(found)


def _first_filters(weight: FloatArray, blocks: FloatArray) -> FloatArray:
    """For each channel the filter (taps,) of the best rank-1 form of its weights (O, taps), judged by its own moments."""
    found = []
    for channel in range(weight.shape[2]):
        own = weight[:, :, channel]
        left = np.linalg.svd(own @ root(blocks[:, channel, :, channel]), full_matrices=False)[0]
        found.append(left[:, 0] @ own)
    return np.stack(found)


def _mixing(filters: FloatArray, cross: FloatArray, blocks: FloatArray) -> FloatArray:
    """The best mixing (O, I) for ``filters`` (I, taps)."""
    channels, taps = filters.shape
    passed = np.einsum("it,tisj,js->ij", filters, blocks, filters, optimize=True)
    wanted = np.einsum("oti,it->oi", cross.reshape(-1, taps, channels), filters)
    return _solved(passed, wanted)


def _filters(mixing: FloatArray, cross: FloatArray, blocks: FloatArray) -> FloatArray:
    """The best filters (I, taps) for ``mixing`` (O, I)."""
    taps, channels = blocks.shape[:2]
    system = (blocks * (mixing.T @ mixing)[None, :, None, :]).reshape(taps * channels, -1)
    wanted = np.einsum("oti,oi->ti", cross.reshape(-1, taps, channels), mixing)
    return _solved(system, wanted.reshape(1, -1)).reshape(taps, channels).T


def _solved(system: FloatArray, wanted: FloatArray) -> FloatArray:
    """X of X ``system`` = ``wanted``, ``system`` symmetric and not negative."""
    damped = system + max(RIDGE * float(np.trace(system)) / len(system), 1e-30) * np.eye(len(system))
    return np.asarray(np.linalg.solve(damped, wanted.T).T, np.float64)
