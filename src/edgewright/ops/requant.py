"""The integer arithmetic, written once: what is evaluated here is what generated C, TFLM's reference kernels and the simulation in training compute.

Source: the TensorFlow Lite 8-bit quantization specification, with the fixed-point multiplication of gemmlowp and its double rounding
(SaturatingRoundingDoublingHighMul, then RoundingDivideByPOT), as TFLM's reference kernels are built.
Tensors of accumulators may be torch.int32 or torch.int64; results are torch.int64 within the int32 range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1


@dataclass(frozen=True)
class Multiplier:
    """Fixed-point factors multiplier * 2**(shift - 31), one for the tensor or one for each channel (last axis)."""

    multiplier: tuple[int, ...]
    shift: tuple[int, ...]


def quantize_multiplier(factor: float) -> tuple[int, int]:
    """(multiplier, shift) with factor ≈ multiplier * 2**(shift - 31) and 2**30 <= multiplier < 2**31 (or 0, 0)."""
    if not math.isfinite(factor) or factor < 0:
        raise ModelError(f"a requantization factor must be finite and not negative, got {factor}")
    if factor == 0.0:
        return 0, 0
    fraction, shift = math.frexp(factor)
    fixed = int(math.floor(fraction * (1 << 31) + 0.5))
    if fixed == 1 << 31:
        fixed //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return (1 << 31) - 1, 30
    return fixed, shift


def quantize_multipliers(factors: Sequence[float] | NDArray[np.float64]) -> Multiplier:
    pairs = [quantize_multiplier(float(factor)) for factor in factors]
    return Multiplier(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))


def saturating_rounding_doubling_high_mul(a: Tensor, b: Tensor | int) -> Tensor:
    """round(a * b / 2**31), ties away from zero for positive and towards zero for negative halves (C division), saturated; int32 operands."""
    product = a.to(torch.int64) * b
    nudge = torch.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = torch.div(product + nudge, 1 << 31, rounding_mode="trunc")
    return high.clamp_(max=INT32_MAX)


def rounding_divide_by_pot(x: Tensor, exponent: Tensor | int) -> Tensor:
    """x / 2**exponent, rounded to nearest, ties away from zero; ``exponent`` in 0 … 31."""
    x = x.to(torch.int64)
    exponents = torch.as_tensor(exponent, dtype=torch.int64)
    mask = torch.bitwise_left_shift(torch.ones_like(exponents), exponents) - 1
    remainder = torch.bitwise_and(x, mask)
    threshold = (mask >> 1) + (x < 0).to(torch.int64)
    return (x >> exponents) + (remainder > threshold).to(torch.int64)


def wrap_int32(x: Tensor) -> Tensor:
    """Two's complement wrap of int64 to the int32 range (what a 32-bit register would hold)."""
    return ((x + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def multiply_by_quantized_multiplier(x: Tensor, multiplier: Multiplier) -> Tensor:
    """x * factor with double rounding; per-channel factors run along the last axis of ``x``."""
    single = len(multiplier.multiplier) == 1
    fixed: Tensor | int = multiplier.multiplier[0] if single else torch.tensor(multiplier.multiplier, dtype=torch.int64)
    shift = torch.tensor(multiplier.shift[0] if single else multiplier.shift, dtype=torch.int64)
    left = shift.clamp(min=0)
    shifted = wrap_int32(torch.bitwise_left_shift(x.to(torch.int64), left)) if bool((left > 0).any()) else x
    return rounding_divide_by_pot(saturating_rounding_doubling_high_mul(shifted, fixed), (-shift).clamp(min=0))


def tensor_quant(value: Value) -> tuple[float, int]:
    """(scale, zero point) of a value that is quantized as a whole."""
    if value.quant is None or value.quant.axis is not None:
        raise ModelError(f"value {value.name!r} has no per-tensor quantization", hint="quantize the network with calibration data first")
    return value.quant.scale[0], value.quant.zero_point[0]


def output_multiplier(inputs: Value, weight: Value, output: Value) -> Multiplier:
    """The factors input scale * weight scale / output scale, one for each output channel (or one), as TFLM's convolutions compute them (in double)."""
    if weight.quant is None:
        raise ModelError(f"weight {weight.name!r} has no quantization")
    factors = np.asarray(weight.quant.scale, np.float64) * tensor_quant(inputs)[0] / tensor_quant(output)[0]
    return quantize_multipliers(factors)


def dense_multiplier(inputs: Value, weight: Value, output: Value) -> Multiplier:
    """As :func:`output_multiplier`, for Dense: with one weight scale, TFLM multiplies input and weight scale in float32."""
    if weight.quant is None or len(weight.quant.scale) > 1:
        return output_multiplier(inputs, weight, output)
    product = np.float32(tensor_quant(inputs)[0]) * np.float32(weight.quant.scale[0])
    return quantize_multipliers([float(product) / tensor_quant(output)[0]])


def activation_range(activation: str, output: Value) -> tuple[int, int]:
    """Smallest and largest integer of ``output`` after the fused ``activation`` (none, relu, relu6, relu_n1_to_1)."""
    quant = output.quant
    if quant is None:
        return output.dtype.minimum, output.dtype.maximum
    scale, zero_point = tensor_quant(output)
    low, high = quant.dtype.minimum, quant.dtype.maximum
    bounds = {"none": (None, None), "relu": (0.0, None), "relu6": (0.0, 6.0), "relu_n1_to_1": (-1.0, 1.0)}[activation]
    if bounds[0] is not None:
        low = max(low, zero_point + _round_half_away(bounds[0], scale))
    if bounds[1] is not None:
        high = min(high, zero_point + _round_half_away(bounds[1], scale))
    return low, high


def _round_half_away(real: float, scale: float) -> int:
    steps = float(np.float32(real) / np.float32(scale))
    return int(math.floor(abs(steps) + 0.5)) * (1 if steps >= 0 else -1)


def requantize(accumulator: Tensor, multiplier: Multiplier, zero_point: int, low: int, high: int) -> Tensor:
    """int32 accumulators → torch.int32 outputs: scaled, ``zero_point`` added, clamped to [low, high]."""
    return (multiply_by_quantized_multiplier(accumulator, multiplier) + zero_point).clamp_(low, high).to(torch.int32)


def affine_quant(low: float, high: float, dtype: DType = DType.INT8) -> Quant:
    """Asymmetric per-tensor Quant that covers [min(low, 0), max(high, 0)]; int16 is symmetric (zero point 0), as the specification asks."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    if dtype is not DType.INT8 and dtype is not DType.INT4:
        return Quant.per_tensor(_positive_scale(max(-low, high) / dtype.maximum), 0, dtype)
    scale = _positive_scale((high - low) / (dtype.maximum - dtype.minimum))
    zero_point = int(np.clip(np.rint(dtype.minimum - low / scale), dtype.minimum, dtype.maximum))
    return Quant.per_tensor(scale, zero_point, dtype)


def _positive_scale(scale: float) -> float:
    """float32 ``scale``, or 1 where the range is empty (a tensor that is always zero)."""
    rounded = float(np.float32(scale))
    return rounded if rounded >= float(np.finfo(np.float32).tiny) else 1.0
