"""Scales of integer weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.dtype import DType

BIAS_STEPS = 1 << 30
"""The most steps that a bias may have: half of int32, so that the sums it starts have room too."""
TINY = float(np.finfo(np.float32).tiny)


def weight_scales(
    weight: NDArray[np.generic], bias: NDArray[np.generic] | None = None, input_scale: float = 1.0, dtype: DType = DType.INT8
) -> NDArray[np.float32]:
    """Symmetric scale of each output channel (axis 0), for weights in ``dtype``: (O,).

    Large enough that the int32 ``bias``, whose scale is ``input_scale`` times this one, does not saturate. Channels without weights take
    the median of the others.
    """
    peak = np.abs(weight.astype(np.float64).reshape(weight.shape[0], -1)).max(axis=1, initial=0.0)
    scales = peak / dtype.maximum
    alive = scales > TINY
    scales[~alive] = np.median(scales[alive]) if alive.any() else 1.0
    if bias is not None:
        scales = np.maximum(scales, np.abs(bias.astype(np.float64)) / (input_scale * BIAS_STEPS))
    return np.asarray(np.maximum(scales, TINY / min(input_scale, 1.0)), np.float32)


def bias_scales(scales: NDArray[np.float32], input_scale: float) -> NDArray[np.float32]:
    """Scales of the int32 bias beside weights of ``scales``: their products with the input's scale, in float32 as files hold them."""
    return np.asarray(scales * np.float32(input_scale), np.float32)
