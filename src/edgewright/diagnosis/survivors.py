"""Channels that a quantized network has lost altogether, because they were constant there: which of the float network's are left."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Graph, Node

Indices = NDArray[np.int64]


def surviving_rows(got: NDArray[np.float64], real: NDArray[np.float64]) -> Indices:
    """Which rows of ``real`` (O, K) the rows of ``got`` (o, K), o <= O, are: in the same order, with the greatest sum of cosines."""
    sizes = np.linalg.norm(got, axis=1)[:, None] * np.linalg.norm(real, axis=1)[None]
    likeness = got @ real.T / np.where(sizes == 0, 1.0, sizes)
    few, many = likeness.shape
    best = np.full((few + 1, many + 1), -np.inf)
    best[0] = 0.0
    for row in range(1, few + 1):
        reached = best[row - 1, :-1] + likeness[row - 1]
        best[row, 1:] = np.maximum.accumulate(reached)
    chosen, column = [], many
    for row in range(few, 0, -1):
        while column > 1 and best[row, column - 1] == best[row, column]:
            column -= 1
        column -= 1
        chosen.append(column)
    return np.asarray(chosen[::-1], np.int64)


def kept_behind(graph: Graph, node: Node, kept: Mapping[str, Indices]) -> Indices | None:
    """The channels (last axis) of output 0 of ``node``, which has no weights, that come from channels ``kept``; None where all do."""
    touched = [name for name in node.inputs if name in kept]
    if not touched:
        return None
    first, out = graph.value(touched[0]), graph.value(node.outputs[0])
    if node.op.kind == "Concat" and getattr(node.op, "axis", None) == out.rank - 1:
        parts, offset = [], 0
        for name in node.inputs:
            size = int(graph.value(name).shape[-1] or 0)
            parts.append(kept.get(name, np.arange(size, dtype=np.int64)) + offset)
            offset += size
        return np.concatenate(parts)
    if out.shape[-1] == first.shape[-1]:
        return kept[touched[0]]
    inner = [int(size or 1) for size in first.shape[1:]]
    if node.op.kind == "Reshape" and out.rank == 2 and out.shape[-1] == math.prod(inner):
        return np.asarray(np.arange(math.prod(inner)).reshape(inner)[..., kept[touched[0]]].reshape(-1), np.int64)
    return None


def spread(array: NDArray[np.float32], shape: tuple[int, ...], rows: Indices | None, columns: Indices | None) -> NDArray[np.float32] | None:
    """``array`` in an array of zeros of ``shape``: at ``rows`` of axis 0 and ``columns`` of the last axis; None where it does not fit."""
    index = [np.arange(size) for size in shape]
    if rows is not None:
        index[0] = rows
    if columns is not None and len(shape) > 1:
        index[-1] = columns
    if math.prod(len(places) for places in index) != array.size:
        return None
    whole = np.zeros(shape, np.float32)
    whole[np.ix_(*index)] = array.reshape([len(places) for places in index])
    return whole


def spread_quant(quant: Quant, rows: Indices | None, count: int) -> Quant:
    """``quant`` of the surviving ``rows`` for all ``count`` of them; the lost ones take the median scale."""
    if quant.axis != 0 or rows is None or len(quant.scale) == count:
        return quant
    scales = np.full(count, float(np.median(quant.scale)))
    scales[rows] = quant.scale
    return Quant(quant.dtype, tuple(float(scale) for scale in scales), (0,) * count, 0)
