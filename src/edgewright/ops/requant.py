"""The integer arithmetic, written once: what is evaluated here is what generated C, TFLM's reference kernels and training compute.

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

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1
REDUCED_BITS = 15
"""Bits of a multiplier for sums of 64 bits."""
MOST_SHIFT = 7
"""The largest shift that goes with such a multiplier."""
BLOCK = 1 << 14
"""Numbers that are rescaled at once: so many float64 stay in a core's own cache."""


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
    """The fixed-point forms of ``factors``, one for each channel."""
    pairs = [quantize_multiplier(float(factor)) for factor in factors]
    return Multiplier(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))


def saturating_rounding_doubling_high_mul(a: Tensor, b: Tensor | int) -> Tensor:
    """round(a * b / 2**31), halves upwards, saturated; int32 operands, torch.int64 out.

    gemmlowp adds 2**30, or 1 - 2**30 to negative products, and divides as C does, towards zero. That is one floor division for both signs:
    for p < 0, trunc((p + 1 - 2**30) / 2**31) = ceil(…) = floor((p + 1 - 2**30 + 2**31 - 1) / 2**31) = floor((p + 2**30) / 2**31).
    """
    product = a.to(torch.int64) * b
    return product.add_(1 << 30).bitwise_right_shift_(31).clamp_(max=INT32_MAX)


def rounding_divide_by_pot(x: Tensor, exponent: Tensor | int) -> Tensor:
    """x / 2**exponent, rounded to nearest, halves away from zero; ``exponent`` in 0 … 31; torch.int64 out."""
    x = x.to(torch.int64)
    if isinstance(exponent, int):
        return x if exponent == 0 else (x + (x >> 63)).add_(1 << (exponent - 1)).bitwise_right_shift_(exponent)
    half = torch.bitwise_left_shift(torch.ones_like(exponent), exponent) >> 1
    return (x + (x >> 63) * (exponent > 0)).add_(half).bitwise_right_shift_(exponent)


def wrap_int32(x: Tensor) -> Tensor:
    """Two's complement wrap of int64 to the int32 range (what a 32-bit register would hold)."""
    return x.to(torch.int32).to(torch.int64)


def multiply_by_quantized_multiplier(x: Tensor, multiplier: Multiplier) -> Tensor:
    """x * factor with double rounding, torch.int64; per-channel factors run along the last axis of ``x``.

    With shift s, left = max(s, 0), right = max(-s, 0), y = x * 2**left (wrapped), m the multiplier, the two steps are
    t = floor((y * m + 2**30) / 2**31) and, for right > 0, floor((t - [t < 0] + 2**(right - 1)) / 2**right).
    A floor of a floor is one floor: floor((y * m + 2**30 - [t < 0] * 2**31 + 2**(30 + right)) / 2**(31 + right)), below 2**63 throughout.
    [t < 0] may be read as [y < 0]: where they differ, t = 0 and -2**30 <= y * m < 0, and both forms give 0.
    """
    fixed, shift = torch.tensor(multiplier.multiplier, dtype=torch.int64), torch.tensor(multiplier.shift, dtype=torch.int64)
    right = (-shift).clamp(min=0)
    y = x.to(torch.int64)
    if max(multiplier.shift) > 0:
        y = wrap_int32(y << shift.clamp(min=0))
    result = y * fixed
    if min(multiplier.shift) < 0:
        result -= (y >> 63) & ((right > 0) * (1 << 31))
    rounding = (1 << 30) + torch.where(right > 0, (1 << 30) << right, 0)
    return result.add_(rounding).bitwise_right_shift_(31 + right)


def reduce_multiplier(multiplier: Multiplier) -> Multiplier:
    """Factors multiplier * 2**(shift - 15) of 15 bits, for sums of 64 bits; ModelError where one is 128 or more."""
    if max(multiplier.shift) > MOST_SHIFT:
        raise ModelError("a sum of int16 products would be scaled by 128 or more", hint="calibrate with data that exercise this output")
    cut = tuple((fixed + (1 << 15)) >> 16 if fixed < 0x7FFF0000 else 0x7FFF for fixed in multiplier.multiplier)
    return Multiplier(cut, multiplier.shift)


def multiply_by_reduced_multiplier(x: Tensor, multiplier: Multiplier) -> Tensor:
    """x * factor for ``x`` below 2**47, rounded once (halves upwards), torch.int64 wrapped to the int32 range.

    That is TFLM's form for sums of int16 activations; ``multiplier`` as for :func:`multiply_by_quantized_multiplier`.
    """
    reduced = reduce_multiplier(multiplier)
    right = REDUCED_BITS - torch.tensor(reduced.shift, dtype=torch.int64)
    product = x.to(torch.int64) * torch.tensor(reduced.multiplier, dtype=torch.int64)
    return wrap_int32(product.add_(torch.bitwise_left_shift(torch.ones_like(right), right - 1)).bitwise_right_shift_(right))


def tensor_quant(value: Value) -> tuple[float, int]:
    """(scale, zero point) of a value that is quantized as a whole."""
    if value.quant is None or value.quant.axis is not None:
        raise ModelError(f"value {value.name!r} has no per-tensor quantization", hint="quantize the network with calibration data first")
    return value.quant.scale[0], value.quant.zero_point[0]


def output_multiplier(inputs: Value, weight: Value, output: Value) -> Multiplier:
    """The factors input scale * weight scale / output scale, for each output channel or one, computed in double as TFLM does."""
    if weight.quant is None:
        raise ModelError(f"weight {weight.name!r} has no quantization")
    factors = np.asarray(weight.quant.scale, np.float64) * tensor_quant(inputs)[0] / tensor_quant(output)[0]
    return quantize_multipliers(factors)


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
    """Accumulators → torch.int32 outputs: scaled with double rounding, ``zero_point`` added, clamped to [low, high].

    ``accumulator`` holds integers of the int32 range in any type that has them exactly. Channels whose shift allows it go through float64,
    which is several times as fast as int64, and as exact.
    """
    right_most = 21 - (4 * (max(abs(low), abs(high), abs(zero_point)) + 3)).bit_length()
    hard = [channel for channel, shift in enumerate(multiplier.shift) if not -right_most <= shift <= 0]
    if len(hard) == len(multiplier.shift):
        return (multiply_by_quantized_multiplier(accumulator, multiplier) + zero_point).clamp_(low, high).to(torch.int32)
    result = _requantize_in_float64(accumulator, multiplier, zero_point, low, high)
    if hard:
        chosen = Multiplier(tuple(multiplier.multiplier[index] for index in hard), tuple(multiplier.shift[index] for index in hard))
        scaled = multiply_by_quantized_multiplier(accumulator[..., hard], chosen)
        result[..., hard] = (scaled + zero_point).clamp_(low, high).to(torch.int32)
    return result


def _requantize_in_float64(x: Tensor, multiplier: Multiplier, zero_point: int, low: int, high: int) -> Tensor:
    """:func:`requantize` for channels with shift 0 … -right_most; others come out wrong.

    By the single floor of :func:`multiply_by_quantized_multiplier`, the result is floor(v) with, for right > 0,
    v = x * m / 2**(31 + right) + 1/2 + sign(x) / 2**(right + 1) + zero_point (for x = 0, 1/2 is enough). v is a multiple of
    2**-(31 + right), so half such a step can be added without changing its floor, and then an error of less than half a step cannot either.
    With b the largest of abs(low), abs(high) and abs(zero_point), v matters only up to abs(v) <= b + 1 (further out it is clamped either
    way); there the roundings of product, constant and sum are together below 4 * (b + 3) * 2**-53, and that is below 2**-(32 + right) for
    right <= 21 - bits of 4 * (b + 3). A negative x may be taken for a positive one where negative results are clamped away.
    """
    right = -torch.tensor(multiplier.shift, dtype=torch.float64)
    factor = torch.tensor(multiplier.multiplier, dtype=torch.float64) * torch.exp2(-31 - right)
    half = torch.where(right > 0, torch.exp2(-right - 1), 0.0)
    offset = 0.5 + zero_point + torch.exp2(-32 - right)
    signed = low < zero_point and bool((half > 0).any())
    x = x.contiguous()
    result = torch.empty(x.shape, dtype=torch.int32)
    count = x.shape[-1] if len(multiplier.shift) > 1 and x.ndim else 1
    rows, out = x.reshape(-1, count), result.view(-1, count)
    block = max(1, BLOCK // max(1, count))
    for start in range(0, len(rows), block):
        exact = rows[start : start + block].to(torch.float64)
        if signed:
            scaled = exact.sign().mul_(half).add_(offset).addcmul_(exact, factor)
        else:
            scaled = torch.addcmul(offset + half, exact, factor)
        out[start : start + block] = scaled.floor_().clamp_(low, high)
    return result


def rescale_products(sums: Tensor, x: Value, weight: Value, out: Value, activation: str) -> Tensor:
    """Sums of products of ``x`` and ``weight`` on the grid of ``out``, clamped by ``activation``; torch.int32.

    Sums of int16 activations, which take 64 bits, have a factor of 15 bits and one rounding.
    """
    factors, (low, high) = output_multiplier(x, weight, out), activation_range(activation, out)
    if x.dtype.bits <= 8 and out.dtype.bits <= 8:
        return requantize(sums, factors, tensor_quant(out)[1], low, high)
    if x.dtype is not out.dtype or tensor_quant(x)[1] or tensor_quant(out)[1]:
        raise UnsupportedError(f"products of {x.dtype.value} {x.name!r} have no integer form that gives {out.dtype.value} {out.name!r}",
                               hint="activations of 16 bits are int16 with zero point 0, in and out; put a Requantize between")
    return multiply_by_reduced_multiplier(sums, factors).clamp_(low, high).to(torch.int32)


def affine_quant(low: float, high: float, dtype: DType = DType.INT8) -> Quant:
    """Asymmetric per-tensor Quant that covers [min(low, 0), max(high, 0)]; int16 is symmetric (zero point 0), as the specification asks."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    if dtype.bits > 8:
        return Quant.per_tensor(_positive_scale(max(-low, high) / dtype.maximum), 0, dtype)
    scale = _positive_scale((high - low) / (dtype.maximum - dtype.minimum))
    zero_point = int(np.clip(np.rint(dtype.minimum - low / scale), dtype.minimum, dtype.maximum))
    return Quant.per_tensor(scale, zero_point, dtype)


def _positive_scale(scale: float) -> float:
    """float32 ``scale``, or 1 where the range is empty (a tensor that is always zero)."""
    rounded = float(np.float32(scale))
    return rounded if rounded >= float(np.finfo(np.float32).tiny) else 1.0
