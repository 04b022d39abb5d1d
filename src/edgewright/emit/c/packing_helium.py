"""Weights, biases and factors in the order in which the Helium kernels read them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int8 = NDArray[np.int8]

LANES = 16
ORDER = np.arange(LANES).reshape(4, 4).T.reshape(-1)
"""Sixteen channels as the kernels narrow them: 0 4 8 12 1 5 9 13 …"""


def pack_tiles(weight: NDArray[np.generic], groups: int) -> Int8:
    """OHWI weights in tiles of sixteen output channels in the kernels' order, fewer at the end of a group in their own.

    Pairs of channels are interleaved: their first (length - 1) % 16 + 1 bytes, then sixteen bytes of each in turn. An odd last one is
    paired with zeros.
    """
    rows = weight.astype(np.int8).reshape(weight.shape[0], -1)
    parts = []
    for group in np.split(rows, groups):
        for start in range(0, group.shape[0], LANES):
            tile = group[start : start + LANES]
            ordered = tile[ORDER] if len(tile) == LANES else np.pad(tile, ((0, len(tile) % 2), (0, 0)))
            parts += [_interleave(pair) for pair in ordered.reshape(-1, 2, rows.shape[1])]
    return np.concatenate(parts)


def _interleave(pair: Int8) -> Int8:
    first = (pair.shape[1] - 1) % LANES + 1
    rest = pair[:, first:].reshape(2, -1, LANES).transpose(1, 0, 2)
    return np.concatenate([pair[:, :first].reshape(-1), rest.reshape(-1)])


def order_tiles(numbers: NDArray[np.generic], groups: int) -> NDArray[np.generic]:
    """One number for each output channel in the order of :func:`pack_tiles`; the end of a group is padded to a multiple of four."""
    parts = []
    for group in np.split(numbers, groups):
        for start in range(0, len(group), LANES):
            tile = group[start : start + LANES]
            parts.append(tile[ORDER] if len(tile) == LANES else np.pad(tile, (0, -len(tile) % 4)))
    return np.concatenate(parts)


def pack_planes(weight: NDArray[np.generic]) -> Int8:
    """Depthwise weights (C, kh, kw, 1) in blocks of sixteen channels, for each tap sixteen numbers; the last block is padded with zeros."""
    rows = weight.astype(np.int8).reshape(weight.shape[0], -1)
    padded = np.pad(rows, ((0, -len(rows) % LANES), (0, 0)))
    return np.ascontiguousarray(padded.reshape(-1, LANES, rows.shape[1]).transpose(0, 2, 1)).reshape(-1)


def order_planes(numbers: NDArray[np.generic]) -> NDArray[np.generic]:
    """One number for each channel, in blocks of sixteen in the kernels' order; the last block is padded with zeros."""
    padded = np.pad(numbers, (0, -len(numbers) % LANES))
    return padded.reshape(-1, LANES)[:, ORDER].reshape(-1)
