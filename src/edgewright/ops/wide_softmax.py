"""Softmax of int16, which looks its exponentials and its reciprocal up in tables and interpolates.

Source: TFLM's softmax and LUTPopulate of internal/common.h, whose tables have 513 entries over the range of int16 and are corrected by half
of the error that interpolation makes in the middle of a step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Value
from edgewright.ops.gates import INT16_MAX, INT16_MIN, UNIT_SCALE, to_int16
from edgewright.ops.requant import Multiplier, multiply_by_quantized_multiplier, quantize_multipliers, tensor_quant

STEPS = 512
STEP_BITS = 7
REACH = 10.0
"""Differences to the largest input beyond this count as this."""
Float32 = NDArray[np.float32]


def wide_softmax(x: Tensor, beta: float, input: Value, output: Value) -> Tensor:
    """Softmax over the last axis of int16 ``x``, torch.int32 in Q0.15."""
    wanted, found = (UNIT_SCALE, 0), tensor_quant(output)
    if {input.dtype, output.dtype} != {DType.INT16} or tensor_quant(input)[1] or found != wanted:
        raise UnsupportedError(
            f"Softmax from {input.dtype.value} {input.name!r} to {output.dtype.value} {output.name!r} with (scale, zero point) {found} "
            "has no integer form", hint="activations are int8, or int16 with zero point 0; the output of int16 has scale 2**-15")
    wide = x.to(torch.int64)
    difference = multiply_by_quantized_multiplier(wide - wide.amax(-1, keepdim=True), difference_factor(beta, input))
    exps = look_up(exponentials(), to_int16(difference + INT16_MAX))
    sums = exps.sum(-1, keepdim=True)
    headroom = 31 - torch.floor(torch.log2(sums.to(torch.float64))).to(torch.int64)
    shifted = ((sums << (headroom - 1)) + (1 << 13)) >> 14
    scale = look_up(reciprocals(), to_int16(shifted - (1 << 15) - (1 << 16)))
    right = 31 - headroom
    return ((exps * scale + torch.bitwise_left_shift(torch.ones_like(right), right - 1)) >> right).clamp_(0, INT16_MAX).to(torch.int32)


def difference_factor(beta: float, input: Value) -> Multiplier:
    """What makes REACH of a difference of inputs 65535."""
    return quantize_multipliers([tensor_quant(input)[0] * float(np.float32(beta)) / (REACH / 65535.0)])


def look_up(table: NDArray[np.int16], x: Tensor) -> Tensor:
    """``table`` at int16 ``x``, interpolated; torch.int64."""
    wide = torch.from_numpy(table.astype(np.int64))
    place = (x >> STEP_BITS) + STEPS // 2
    base = wide[place]
    return base + (((wide[place + 1] - base) * (x & ((1 << STEP_BITS) - 1)) + (1 << STEP_BITS - 1)) >> STEP_BITS)


@cache
def exponentials() -> NDArray[np.int16]:
    """exp(-REACH … 0) in Q0.15."""
    return _table(np.exp, np.float32(REACH) / np.float32(65535), INT16_MAX)


@cache
def reciprocals() -> NDArray[np.int16]:
    """1 / (1 + x) in Q0.15, for x = 0 … 1."""
    return _table(lambda x: np.float32(1) / (np.float32(1) + x), np.float32(1) / np.float32(65535), INT16_MIN)


def _table(function: Callable[[Float32], Float32], scale: np.float32, zero_point: int) -> NDArray[np.int16]:
    """``function`` over int16 integers of ``scale`` and ``zero_point``, in Q0.15, every operation in float32."""
    single = np.float32
    low, high = scale * single(INT16_MIN - zero_point), scale * single(INT16_MAX - zero_point)
    unit = single(2) / single(65535)
    inverse = single(65536) / (unit * single(INT16_MAX) - unit * single(INT16_MIN))
    step = (high - low) / single(STEPS)
    places = np.arange(STEPS + 1, dtype=np.float32)
    here, middle = function(low + places * step), function(low + places * step + step / single(2))
    samples = _rounded(here * inverse)
    between = _rounded((here[1:] * inverse + samples[:-1]) / single(2))
    corrected = samples[:-1] - _rounded((between - _rounded(middle[:-1] * inverse)) / single(2))
    last = _rounded(function(np.array([high])) * inverse)
    table: NDArray[np.int16] = np.clip(np.concatenate([corrected, last]), INT16_MIN, INT16_MAX).astype(np.int16)
    return table


def _rounded(x: Float32) -> Float32:
    """To the nearest integer, halves away from zero."""
    wide = np.asarray(x, np.float64)
    return np.asarray(np.copysign(np.floor(np.abs(wide) + 0.5), wide), np.float32)
