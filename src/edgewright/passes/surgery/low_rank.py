"""A layer with weights as a chain of smaller layers: the factors of its weight tensor, and how far what they come to is from it.

Distances are those of the layer's outputs where second moments of its inputs are known (K x K over the window, as in passes/columns.py),
else those of the weights: the error of weight W' against W is trace((W - W') C (W - W')^T) / trace(W C W^T).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from edgewright.analysis.linear import FloatArray, with_activation
from edgewright.ir.operator import Operator
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.passes.surgery.chains import Chain

TINY = 1e-30


@dataclass(frozen=True)
class Factors:
    """``layers``: (operator without activation, weight), in order. ``weight``: the one weight that they come to, in the layer's shape."""

    method: str
    ranks: tuple[int, ...]
    layers: Chain
    weight: FloatArray
    error: float

    @property
    def parameters(self) -> int:
        return sum(weight.size for _, weight in self.layers)


def relative_error(weight: FloatArray, other: FloatArray, second: FloatArray | None) -> float:
    """See the head of this file; ``second`` (K, K) or None."""
    flat, difference = weight.reshape(len(weight), -1), (weight - other).reshape(len(weight), -1)
    if second is None:
        return float(np.square(difference).sum() / max(np.square(flat).sum(), TINY))
    return float(np.sum((difference @ second) * difference) / max(np.sum((flat @ second) * flat), TINY))


def root(second: FloatArray) -> FloatArray:
    """L with L L^T = ``second``, which is symmetric and has no negative eigenvalues but for rounding."""
    values, vectors = np.linalg.eigh(second)
    scaled: FloatArray = vectors * np.sqrt(np.maximum(values, 0.0))
    return scaled


def channel_moments(second: FloatArray | None, channels: int) -> FloatArray | None:
    """The moments (C, C) of the input channels, the mean over the taps of a window."""
    if second is None:
        return None
    taps = len(second) // channels
    blocks = second.reshape(taps, channels, taps, channels)
    return np.asarray(np.mean([blocks[tap, :, tap] for tap in range(taps)], axis=0))


def svd(op: Operator, weight: FloatArray, second: FloatArray | None, ranks: list[int]) -> Iterator[Factors]:
    """The window and all inputs to ``rank`` numbers, those to the outputs: the best for its rank (arXiv:1505.06798, section 3.1)."""
    flat = weight.reshape(len(weight), -1)
    left, values = _left(flat if second is None else flat @ root(second))
    for rank in ranks:
        inner, outer = _balanced(left[:, :rank].T @ flat, left[:, :rank], values[:rank])
        first, last = inner.reshape(rank, *weight.shape[1:]), outer.reshape(len(weight), *[1] * (weight.ndim - 2), rank)
        layers = ((with_activation(op, "none"), first), (Dense() if weight.ndim == 2 else Conv2D(), last))
        yield _made("svd", (rank,), layers, (outer @ inner).reshape(weight.shape), weight, second)


def spatial(op: Conv2D, weight: FloatArray, second: FloatArray | None, ranks: list[int]) -> Iterator[Factors]:
    """A column of the window, then a row (Jaderberg et al. 2014, arXiv:1405.3866, scheme 2)."""
    outputs, rows, columns, channels = weight.shape
    table = weight.transpose(2, 0, 1, 3).reshape(columns * outputs, rows * channels)
    moment = channel_moments(second, channels)
    left, values = _left(table if moment is None else (table.reshape(-1, channels) @ root(moment)).reshape(table.shape))
    (top_bottom, left_right), (down, across) = op.padding, op.stride
    ops = (Conv2D((down, 1), (top_bottom, (0, 0)), (op.dilation[0], 1)), Conv2D((1, across), ((0, 0), left_right), (1, op.dilation[1])))
    for rank in ranks:
        inner, outer = _balanced(left[:, :rank].T @ table, left[:, :rank], values[:rank])
        first = inner.reshape(rank, rows, 1, channels)
        last = outer.reshape(columns, outputs, 1, rank).transpose(1, 2, 0, 3)
        whole = (outer @ inner).reshape(columns, outputs, rows, channels).transpose(1, 2, 0, 3)
        yield _made("spatial", (rank,), ((ops[0], first), (ops[1], last)), whole, weight, second)


def tucker(op: Conv2D, weight: FloatArray, second: FloatArray | None, ranks: list[tuple[int, int]]) -> Iterator[Factors]:
    """Fewer channels in, the window, the outputs out of fewer (Tucker-2; Kim et al. 2016, arXiv:1511.06530)."""
    outputs, rows, columns, channels = weight.shape
    table = weight.reshape(-1, channels)
    moment = channel_moments(second, channels)
    in_side, in_values = _left(table if moment is None else table @ root(moment))
    flat = weight.reshape(outputs, -1)
    out_side, out_values = _left(flat if second is None else flat @ root(second))
    for narrow, wide in sorted({(min(narrow, in_side.shape[1]), min(wide, out_side.shape[1])) for narrow, wide in ranks}):
        first, core = _balanced(in_side[:, :narrow].T @ table, in_side[:, :narrow], in_values[:narrow])
        core = (out_side[:, :wide].T @ core.reshape(outputs, -1)).reshape(wide, -1)
        core, last = _balanced(core, out_side[:, :wide], out_values[:wide])
        core = core.reshape(wide, rows, columns, narrow)
        whole = np.einsum("ow,wrcn,ni->orci", last, core, first)
        layers = ((Conv2D(), first.reshape(narrow, 1, 1, channels)), (replace(op, activation="none"), core),
                  (Conv2D(), last.reshape(outputs, 1, 1, wide)))
        yield _made("tucker", (narrow, wide), layers, whole, weight, second)


def _left(table: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Left singular vectors and values, by the smaller side's Gram matrix where the table is wide."""
    if table.shape[1] > 2 * table.shape[0]:
        values, vectors = np.linalg.eigh(table @ table.T)
        return vectors[:, ::-1], np.sqrt(np.maximum(values[::-1], 0.0))
    vectors, values, _ = np.linalg.svd(table, full_matrices=False)
    return vectors, values


def _balanced(inner: FloatArray, outer: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Both factors with the singular values shared between them, so that neither is hard to quantize."""
    shares = np.sqrt(np.maximum(values / max(float(values[0]) if len(values) else 1.0, TINY), 1e-6))
    return inner / shares[:, None], outer * shares


def _made(method: str, ranks: tuple[int, ...], layers: Chain, whole: FloatArray, weight: FloatArray,
          second: FloatArray | None) -> Factors:
    return Factors(method, ranks, layers, np.ascontiguousarray(whole), relative_error(weight, whole, second))
