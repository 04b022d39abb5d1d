"""What recurrent operators share: gates in 16-bit fixed point, as TensorFlow Lite Micro's reference kernels compute them.

Before its activation a gate is held in Q3.12, behind it in Q0.15. Source: TFLM's unidirectional_sequence_lstm and the int16 Logistic and
Tanh of internal/reference/integer_ops, which interpolate in one table of the sigmoid. Tensors are torch.int64 within the int16 range.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Value
from edgewright.ops.requant import (
    Multiplier,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    quantize_multipliers,
    tensor_quant,
)

INT16_MIN, INT16_MAX = -(1 << 15), (1 << 15) - 1
GATE_SCALE = 2.0**-12
"""Scale of what goes into an activation."""
UNIT_SCALE = 2.0**-15
"""Scale of what comes out of one."""
POWER_TOLERANCE = 1e-3
"""How far the logarithm of a scale may be from a whole number to count as one."""
TABLE_STEPS = 256
ONE_HIGHER = (
    4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41, 43, 44, 45, 46, 49, 50, 54, 62,
    63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255,
)
"""Entries that the reference's table has one higher than the nearest integer, as its kernels of Logistic and Tanh show."""
STEPS_PER_UNIT = 24
"""Entries of the table between a whole number and the next."""


@cache
def sigmoid_table() -> NDArray[np.uint16]:
    """65536 times the sigmoid of n / 24, for n = 0 … 255: what lies between is interpolated."""
    places = np.arange(TABLE_STEPS) / STEPS_PER_UNIT
    table = np.floor(65536 / (1 + np.exp(-places)) + 0.5)
    table[list(ONE_HIGHER)] += 1
    return table.astype(np.uint16)


def logistic(x: Tensor) -> Tensor:
    """The sigmoid of Q3.12 ``x``, in Q0.15."""
    return logistic_of_thirds(x * 3)


def logistic_of_thirds(wide: Tensor) -> Tensor:
    """The sigmoid of ``wide`` / 12288, in Q0.15."""
    interpolated, beyond = _interpolated(wide.abs(), 9)
    result = torch.where(beyond, 0x7FFF << 10, interpolated)
    return torch.where(wide >= 0, result + (1 << 9), (1 << 25) - result + (1 << 9) - 1) >> 10


def hyperbolic_tangent(x: Tensor, left: int = 0) -> Tensor:
    """tanh of ``x`` * 2**left in Q3.12, in Q0.15."""
    return hyperbolic_tangent_of_thirds(x * (3 << left))


def hyperbolic_tangent_of_thirds(wide: Tensor) -> Tensor:
    """tanh of ``wide`` / 12288, in Q0.15."""
    interpolated, beyond = _interpolated(wide.abs(), 8)
    result = torch.where(beyond, 0xFFFF << 8, interpolated)
    return torch.where(wide >= 0, result - (1 << 23) + (1 << 7), (1 << 23) - result + (1 << 7) - 1) >> 8


def thirds_factor(scale: float, most_left: int) -> tuple[int, int]:
    """(multiplier, right): what int16 ``x`` of ``scale`` becomes in units of 1 / 12288 is (x * multiplier + 2**right / 2) >> right.

    A scale of 2**-12 is exact, and one of up to 2**``most_left`` times that; others keep 15 bits, cut off, as TFLM's Prepare does.
    """
    exponent = math.log2(scale)
    left = 12 + round(exponent)
    if 0 <= left <= most_left and abs(exponent - round(exponent)) < POWER_TOLERANCE:
        return 3 << left, 0
    multiplier, right = scale * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and right <= 30:
        multiplier, right = multiplier * 2.0, right + 1
    if right > 30:
        raise UnsupportedError(f"a scale of {scale:g} is too small for an int16 activation function", hint="its input is always near zero")
    if multiplier > INT16_MAX:
        raise UnsupportedError(f"a scale of {scale:g} is too large for an int16 activation function", hint="its input exceeds 80,000")
    return int(multiplier), right


def apply_thirds(function: Callable[[Tensor], Tensor], x: Tensor, input: Value, output: Value, most_left: int = 0) -> Tensor:
    """``function`` of int16 ``x`` as integers of ``output``, whose scale is 2**-15; torch.int32."""
    grids = (input.quant, output.quant)
    if any(grid is None or grid.dtype is not DType.INT16 or grid.zero_point != (0,) for grid in grids):
        raise UnsupportedError(f"an activation function from {input.dtype.value} {input.name!r} to {output.dtype.value} {output.name!r}",
                               hint="both are int8, or both are int16 with zero point 0")
    if tensor_quant(output)[0] != UNIT_SCALE:
        raise UnsupportedError(f"output {output.name!r} has scale {tensor_quant(output)[0]:g}, its int16 form needs 2**-15",
                               hint="quantize the network again; every TensorFlow Lite converter fixes this number")
    multiplier, right = thirds_factor(tensor_quant(input)[0], most_left)
    return function((x.to(torch.int64) * multiplier + ((1 << right) >> 1)) >> right).to(torch.int32)


def _interpolated(magnitude: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The table at ``magnitude`` / 2**bits, times 2**bits; and where that lies behind its end."""
    table = torch.from_numpy(sigmoid_table().astype(np.int64))
    place = magnitude >> bits
    below = place.clamp(max=TABLE_STEPS - 2)
    low, high = table[below], table[below + 1]
    return (low << bits) + (magnitude & ((1 << bits) - 1)) * (high - low), place >= TABLE_STEPS - 1


def to_int16(x: Tensor) -> Tensor:
    """``x``, saturated."""
    return x.clamp(INT16_MIN, INT16_MAX)


def scaled(x: Tensor, factor: tuple[int, int]) -> Tensor:
    """``x`` times a fixed-point factor, saturated to int16."""
    return to_int16(multiply_by_quantized_multiplier(x, Multiplier((factor[0],), (factor[1],))))


def gate_sums(x: Tensor, weight: Tensor, bias: Tensor | None, factors: Multiplier) -> Tensor:
    """x @ weight.T + bias in Q3.12; ``x`` (..., I) minus its zero point, ``factors`` by output."""
    sums = (x.to(torch.float64) @ weight.to(torch.float64).T).to(torch.int64)
    return to_int16(multiply_by_quantized_multiplier(sums if bias is None else sums + bias, factors))


def gate_factors(source: Value, weight: Value) -> Multiplier:
    """Fixed-point factors from products of ``source`` and ``weight`` to Q3.12, one for each output."""
    if weight.quant is None:
        raise ModelError(f"weight {weight.name!r} has no quantization")
    factors = np.asarray(weight.quant.scale, np.float64) * tensor_quant(source)[0] / GATE_SCALE
    found = quantize_multipliers(factors)
    count = int(weight.shape[0] or 1)
    return found if len(found.shift) == count else Multiplier(found.multiplier * count, found.shift * count)


def factor(real: float) -> tuple[int, int]:
    """A factor for a whole tensor."""
    return quantize_multiplier(real)
