"""Weights, biases and factors in the order in which the kernels for CPUs read them: sixteen output channels at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.targets.workspace_cpu import LANES, QUAD

Int8 = NDArray[np.int8]


def pack_blocks(weight: NDArray[np.generic], groups: int) -> Int8:
    """OHWI weights: each group in blocks of sixteen output channels, for each four steps four bytes of every channel; zeros where a block
    or the last step is not full."""
    rows = weight.astype(np.int8).reshape(weight.shape[0], -1)
    parts = []
    for group in np.split(rows, groups):
        padded = np.pad(group, ((0, -group.shape[0] % LANES), (0, -group.shape[1] % QUAD)))
        parts.append(padded.reshape(-1, LANES, padded.shape[1] // QUAD, QUAD).transpose(0, 2, 1, 3).reshape(-1))
    return np.concatenate(parts)


def pad_blocks(numbers: NDArray[np.generic], groups: int) -> NDArray[np.generic]:
    """One number for each output channel, each group padded with zeros to blocks of sixteen."""
    return np.concatenate([np.pad(group, (0, -len(group) % LANES)) for group in np.split(numbers, groups)])


def pack_sparse(rows: Int8) -> tuple[NDArray[np.uint16], NDArray[np.uint16], Int8]:
    """Of (outputs, inputs) weights those that are not 0: how many fours of them each output has, the input that each multiplies, and the
    weights; zeros fill up the fours. The first output has at least one."""
    wanted = rows != 0
    wanted[0, 0] |= not wanted.any()
    found = wanted.sum(axis=1)
    counts = -(-found // QUAD)
    sources, weights = np.zeros((2, QUAD * counts.sum()), np.int64)
    starts = QUAD * (counts.cumsum() - counts)
    places = np.concatenate([start + np.arange(many) for start, many in zip(starts, found, strict=True)])
    sources[places], weights[places] = np.nonzero(wanted)[1], rows[wanted]
    return counts.astype(np.uint16), sources.astype(np.uint16), weights.astype(np.int8)


def pad_rows(weight: NDArray[np.generic], multiple: int) -> NDArray[np.generic]:
    """OHWI weights with zeros at the end of each row of a window, up to a multiple of ``multiple`` columns; others as they are."""
    return weight if multiple == 1 else np.pad(weight, ((0, 0), (0, 0), (0, -weight.shape[2] % multiple), (0, 0)))
