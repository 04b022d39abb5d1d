"""The fixed-point arithmetic of :mod:`edgewright.ops.requant` in float64 operators of ONNX, every one of them exact.

A float64 holds integers below 2**53, and multiplies by powers of two, without error. Tensors named here are float64 and hold integers of
the int32 range unless said otherwise.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from edgewright.emit.onnx_writer import Writer
from edgewright.ops.requant import INT32_MAX, INT32_MIN, Multiplier

Doubles = NDArray[np.float64]
UNSIGNED = 128
"""By so much are int8 numbers higher as uint8."""
EXACT = 1 << 53
LOW_BITS = 15
"""A multiplier of 31 bits is split into 16 and so many: times an int32, both parts stay below 2**53."""
MOST_RIGHT = 12
"""See :func:`requantized`."""


def number(writer: Writer, value: float, dtype: type[np.generic] = np.float64) -> str:
    """An initializer of one number."""
    return writer.constant("number", np.asarray(value, dtype))


def with_number(writer: Writer, op: str, x: str, value: float | Doubles) -> str:
    """``x`` and a constant under the float64 operator ``op``."""
    array = np.asarray(value, np.float64)
    return writer.node(op, [x, writer.constant("number" if array.ndim == 0 else "numbers", array)])


def cast(writer: Writer, x: str, kind: int = TensorProto.DOUBLE) -> str:
    """``x`` in another type, float64 by default."""
    return writer.node("Cast", [x], to=kind)


def floor_of(writer: Writer, x: str, factor: float | Doubles, offset: float | Doubles | str | None = None) -> str:
    """floor(x * factor + offset)."""
    product = with_number(writer, "Mul", x, factor)
    return writer.node("Floor", [product if offset is None else _plus(writer, product, offset)])


def _plus(writer: Writer, x: str, addend: float | Doubles | str) -> str:
    return writer.node("Add", [x, addend]) if isinstance(addend, str) else with_number(writer, "Add", x, addend)


def centred(writer: Writer, x: str, zero_point: int) -> str:
    """int8 numbers, held as uint8, minus their zero point."""
    return with_number(writer, "Sub", cast(writer, x), zero_point + UNSIGNED)


def unsigned(writer: Writer, x: str, low: int, high: int) -> str:
    """``x``, already higher by 128, clamped to the int8 range ``low`` … ``high``, as uint8."""
    bounds = [number(writer, bound + UNSIGNED) for bound in (low, high)]
    return cast(writer, writer.node("Clip", [x, *bounds]), TensorProto.UINT8)


def rounded_away(writer: Writer, x: str) -> str:
    """``x`` (any reals) to the nearest integer, halves away from zero."""
    steps = writer.node("Floor", [with_number(writer, "Add", writer.node("Abs", [x]), 0.5)])
    return writer.node("Mul", [writer.node("Sign", [x]), steps])


def wrapped(writer: Writer, x: str) -> str:
    """Integers below 2**62, with at most 53 significant bits, as a register of 32 bits holds them."""
    turns = floor_of(writer, x, 2.0**-32, 0.5)
    return writer.node("Sub", [x, with_number(writer, "Mul", turns, 2.0**32)])


def scaled(writer: Writer, x: str, bound: int, multiplier: Multiplier, units: int = 0, lifted: int = 0, *, positive: bool = False) -> str:
    """multiply_by_quantized_multiplier of ``x`` * 2**lifted, where abs(x) <= bound; factors a channel stand ``units`` axes from the end.

    Its one floor, floor((y * m + 2**30 - [y < 0, right > 0] * 2**31 + [right > 0] * 2**(30 + right)) / 2**(31 + right)), is taken at once
    where the numerator has at most 53 bits that count. Else m = high * 2**15 + low, and as all other terms are multiples of 2**15, it is
    floor((y * high + floor(y * low / 2**15) + …) / 2**(16 + right)). ``positive``: results for negative ``x`` do not matter.
    """
    fixed, shift = _factors(multiplier, units)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    if left.any():
        x = with_number(writer, "Mul", x, np.exp2(left + lifted))
        bound, lifted = bound << (int(left.max()) + lifted), 0
        if bound > INT32_MAX:
            x, bound = wrapped(writer, x), -INT32_MIN
    factor = np.ldexp(fixed.astype(np.float64), lifted - 31 - right)
    if not right.any() and bool(np.all(factor == np.floor(factor))):
        return with_number(writer, "Mul", x, factor)
    half = np.where(right > 0, np.exp2(-right - 1), 0.0)
    if bound * int(fixed.max()) + (2 << (31 + int(right.max()) - lifted)) < EXACT:
        return floor_of(writer, x, factor, _by_sign(writer, x, 0.5 - half, 0.5 + half, positive))
    x = x if lifted == 0 else with_number(writer, "Mul", x, 2.0**lifted)
    low = floor_of(writer, x, np.ldexp((fixed & ((1 << LOW_BITS) - 1)).astype(np.float64), -LOW_BITS))
    high = with_number(writer, "Mul", x, (fixed >> LOW_BITS).astype(np.float64))
    unit = np.exp2(31 - LOW_BITS + right)
    rest = _by_sign(writer, x, (0.5 - half) * unit, (0.5 + half) * unit, positive)
    total = _plus(writer, writer.node("Add", [high, low]), rest)
    return writer.node("Floor", [with_number(writer, "Mul", total, 1 / unit)])


def requantized(
    writer: Writer, x: str, bound: int, multiplier: Multiplier, zero_point: int, low: int, high: int, units: int = 0
) -> str:
    """Accumulators ``x`` → uint8: scaled, ``zero_point`` added, clamped to ``low`` … ``high`` of int8, higher by 128. Arguments as of
    :func:`scaled`.

    Where all shifts are 0 … -12, by floor(v) with v = x * m / 2**(31 + right) + 1/2 ± 2**-(right + 1) + zero_point + 128, a multiple of
    2**-(31 + right), to which half such a step is added: an error of less than half a step then changes no floor. v matters from 0 to 256
    (further out it is clamped either way, as rounding is monotone); there the product is below 2**8 in magnitude, so its rounding errs by
    at most 2**-46, as does that of the sum, the addend is exact, and 2**-45 < 2**-(32 + right).
    """
    fixed, shift = _factors(multiplier, units)
    positive = low >= zero_point
    if int(shift.max()) > 0 or int(shift.min()) < -MOST_RIGHT:
        steps = with_number(writer, "Add", scaled(writer, x, bound, multiplier, units, positive=positive), zero_point + UNSIGNED)
        return unsigned(writer, steps, low, high)
    half = np.where(shift < 0, np.exp2(shift - 1), 0.0)
    base = zero_point + UNSIGNED + 0.5 + np.exp2(shift - 32)
    offset = _by_sign(writer, x, base - half, base + half, positive)
    return unsigned(writer, floor_of(writer, x, np.ldexp(fixed.astype(np.float64), shift - 31), offset), low, high)


def _by_sign(writer: Writer, x: str, negative: Doubles, positive: Doubles, always_positive: bool) -> Doubles | str:
    """``negative`` where ``x`` < 0, else ``positive``."""
    if always_positive or np.array_equal(negative, positive):
        return positive
    below = writer.node("Less", [x, number(writer, 0.0)])
    return writer.node("Where", [below, writer.constant("numbers", negative), writer.constant("numbers", positive)])


def _factors(multiplier: Multiplier, units: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Multipliers and shifts: one number, or one a channel followed by ``units`` axes of size 1."""
    shape = (len(multiplier.shift), *(1,) * units) if len(multiplier.shift) > 1 else ()
    return np.asarray(multiplier.multiplier, np.int64).reshape(shape), np.asarray(multiplier.shift, np.int64).reshape(shape)


def sum_bound(weight: NDArray[np.generic], bias: NDArray[np.generic] | None) -> int:
    """A bound of abs of the sums of a layer with ``weight`` (output channel at axis 0) over int8, wrapped to 32 bits."""
    rows = np.abs(weight.astype(np.int64)).reshape(weight.shape[0], -1).sum(1)
    most = int(rows.max(initial=0)) * 255 + (0 if bias is None else int(np.abs(bias.astype(np.int64)).max(initial=0)))
    return min(most, -INT32_MIN)


def divided_by_power(writer: Writer, x: str, power: str) -> str:
    """rounding_divide_by_pot of ``x`` by the tensor ``power``, powers of two of at least 2."""
    below = writer.node("Where", [writer.node("Less", [x, number(writer, 0.0)]), number(writer, 1.0), number(writer, 0.0)])
    total = writer.node("Add", [writer.node("Sub", [x, below]), with_number(writer, "Mul", power, 0.5)])
    return writer.node("Floor", [writer.node("Div", [total, power])])


def high_mul(writer: Writer, a: str, b: str | int) -> str:
    """saturating_rounding_doubling_high_mul: floor((a * b + 2**30) / 2**31), by halves of b of 16 bits; ``a``, ``b`` not both -2**31."""
    if isinstance(b, int):
        high, low = divmod(b, 1 << 16)
        first, second = with_number(writer, "Mul", a, high), with_number(writer, "Mul", a, math.ldexp(low, -16))
    else:
        top = floor_of(writer, b, 2.0**-16)
        rest = writer.node("Sub", [b, with_number(writer, "Mul", top, 2.0**16)])
        first = writer.node("Mul", [a, top])
        second = with_number(writer, "Mul", writer.node("Mul", [a, rest]), 2.0**-16)
    total = writer.node("Add", [first, writer.node("Floor", [second])])
    return floor_of(writer, total, 2.0**-15, 0.5)


def saturated(writer: Writer, x: str) -> str:
    """``x`` (below 2**1023) clamped to int32."""
    return writer.node("Clip", [x, number(writer, INT32_MIN), number(writer, INT32_MAX)])
