"""Scales of integer weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Constant

BIAS_STEPS = 1 << 30
"""The most steps that a bias may have: half of int32, so that the sums it starts have room too."""
TINY = float(np.finfo(np.float32).tiny)


METHODS = ("minmax", "mse")
SHARES = np.linspace(0.3, 1.0, 71)
"""Candidates of the mse method, as shares of the scale that reaches the peak."""


def weight_scales(
    weight: NDArray[np.generic],
    bias: NDArray[np.generic] | None = None,
    input_scale: float = 1.0,
    dtype: DType = DType.INT8,
    method: str = "minmax",
    groups: int | None = None,
) -> NDArray[np.float32]:
    """Symmetric scale of each output channel (axis 0), for weights in ``dtype``: (O,).

    minmax: the peak is the largest integer. mse: the clipping with the least squared error of the rounded weights, channel by channel.
    Large enough that the int32 ``bias``, whose scale is ``input_scale`` times this one, does not saturate. Channels without weights take
    the median of the others. ``groups``: so many equal blocks of channels share a scale, the largest of them.
    """
    peak = np.abs(weight.astype(np.float64).reshape(weight.shape[0], -1)).max(axis=1, initial=0.0)
    scales = peak / dtype.maximum
    if method == "mse":
        scales *= _least_error(weight.astype(np.float64).reshape(weight.shape[0], -1), scales, dtype)
    alive = scales > TINY
    scales[~alive] = np.median(scales[alive]) if alive.any() else 1.0
    if bias is not None:
        scales = np.maximum(scales, np.abs(bias.astype(np.float64)) / (input_scale * BIAS_STEPS))
    if groups is not None:
        scales = np.repeat(scales.reshape(groups, -1).max(axis=1), len(scales) // groups)
    return np.asarray(np.maximum(scales, TINY / min(input_scale, 1.0)), np.float32)


def scaled_numbers(constant: Constant) -> NDArray[np.generic]:
    """What the scales of a weight are chosen for, (O, …): its numbers or, where it is clustered, its codebook. Channels that share one then
    share its integers."""
    codebook = None if constant.structure is None else constant.structure.codebook
    if codebook is None:
        return constant.array
    rows = codebook.reshape(-1, codebook.shape[-1])
    return rows if len(rows) == len(constant.array) else np.broadcast_to(rows[0], (len(constant.array), rows.shape[1]))


def bias_scales(scales: NDArray[np.float32], input_scale: float) -> NDArray[np.float32]:
    """Scales of the int32 bias beside weights of ``scales``: their products with the input's scale, in float32 as files hold them."""
    return np.asarray(scales * np.float32(input_scale), np.float32)


def bias_quant(weight: Quant, input_scale: float) -> Quant:
    """The grid of the int32 bias beside weights on the grid ``weight``: by channel where that is."""
    scales = bias_scales(np.asarray(weight.scale, np.float32), input_scale)
    return Quant.per_tensor(float(scales[0]), 0, DType.INT32) if weight.axis is None else Quant.per_axis(scales, 0, DType.INT32)



def _least_error(rows: NDArray[np.float64], scales: NDArray[np.float64], dtype: DType) -> NDArray[np.float64]:
    """The share of ``scales`` that rounds each of ``rows`` (O, n) best: (O,)."""
    best, least = np.ones(len(rows)), np.full(len(rows), np.inf)
    for share in SHARES:
        scale = np.maximum(scales * share, TINY)[:, None]
        rounded = np.clip(np.rint(rows / scale), dtype.minimum, dtype.maximum) * scale
        error = np.square(rounded - rows).sum(axis=1)
        better = error < least
        best[better], least[better] = share, error[better]
    return best
