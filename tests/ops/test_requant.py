"""The integer arithmetic beside its definition, written out in Python's unbounded integers, on values where roundings differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ops.requant import (
    INT32_MAX,
    INT32_MIN,
    Multiplier,
    activation_range,
    affine_quant,
    multiply_by_quantized_multiplier,
    output_multiplier,
    quantize_multiplier,
    quantize_multipliers,
    requantize,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
    wrap_int32,
)


def high_mul(a: int, b: int) -> int:
    """gemmlowp's SaturatingRoundingDoublingHighMul: a nudge with the sign of the product, and C's division towards zero."""
    if a == b == INT32_MIN:
        return INT32_MAX
    nudged = a * b + ((1 << 30) if a * b >= 0 else 1 - (1 << 30))
    return abs(nudged) // (1 << 31) * (1 if nudged >= 0 else -1)


def divide_by_pot(x: int, exponent: int) -> int:
    """gemmlowp's RoundingDivideByPOT."""
    mask = (1 << exponent) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def wrapped(x: int) -> int:
    return (x + (1 << 31)) % (1 << 32) - (1 << 31)


def multiplied(x: int, multiplier: int, shift: int) -> int:
    """TFLM's MultiplyByQuantizedMultiplier with double rounding."""
    return divide_by_pot(high_mul(wrapped(x << max(shift, 0)), multiplier), max(-shift, 0))


EXTREMES = [INT32_MIN, INT32_MIN + 1, -(1 << 30), -3, -2, -1, 0, 1, 2, 3, 1 << 30, INT32_MAX - 1, INT32_MAX]


def near_ties(multiplier: int, shift: int) -> list[int]:
    """Accumulators whose products stand at, or beside, the places where one of the two roundings turns."""
    right = max(-shift, 0)
    found = []
    for half in (-301, -257, -3, -1, 1, 3, 255, 301):
        for nudge in (-(1 << 30), 0, 1 << 30):
            nearest = ((half << (30 + right)) + nudge) // max(multiplier, 1) >> max(shift, 0)
            found += [x for x in range(nearest - 1, nearest + 3) if INT32_MIN <= x <= INT32_MAX]
    return found


def some_multipliers() -> list[tuple[int, int]]:
    """All shifts, with the ends of the multiplier's range, products without low bits, and others."""
    rng = np.random.default_rng(0)
    fixed = [1 << 30, INT32_MAX, 3 << 29, (1 << 29) + 1, 0]
    return [(m, shift) for shift in range(-31, 31) for m in [*fixed, *rng.integers(1 << 30, 1 << 31, 3).tolist()]]


def test_one_floor_is_the_two_roundings() -> None:
    rng = np.random.default_rng(1)
    for multiplier, shift in some_multipliers():
        xs = EXTREMES + near_ties(multiplier, shift) + rng.integers(INT32_MIN, INT32_MAX, 20).tolist()
        expected = [multiplied(x, multiplier, shift) for x in xs]
        assert multiply_by_quantized_multiplier(torch.tensor(xs), Multiplier((multiplier,), (shift,))).tolist() == expected


@pytest.mark.parametrize("kind", [torch.int32, torch.int64, torch.float64])
def test_requantize_is_the_two_roundings_and_a_clamp(kind: torch.dtype) -> None:
    rng = np.random.default_rng(2)
    for multiplier, shift in some_multipliers():
        xs = EXTREMES + near_ties(multiplier, shift) + (rng.integers(INT32_MIN, INT32_MAX, 10) >> int(rng.integers(0, 24))).tolist()
        zero_point = int(rng.choice([-128, 127, int(rng.integers(-128, 128))]))
        low = int(rng.choice([-128, zero_point, min(127, zero_point + 5)]))
        high = int(rng.choice([127, rng.integers(low, 128)]))
        got = requantize(torch.tensor(xs).to(kind), Multiplier((multiplier,), (shift,)), zero_point, low, high)
        assert got.dtype == torch.int32
        assert got.tolist() == [min(max(multiplied(x, multiplier, shift) + zero_point, low), high) for x in xs]


def at_the_edge(rng: np.random.Generator, right: int, sign: int) -> tuple[list[int], list[int]]:
    """Accumulators and multipliers with shift -right whose exact result lies on an integer, or one bit of the product below it.

    The single floor adds c = 2**30 * (2**right + sign) to the product, so the multiplier is (e - c) / accumulator modulo 2**(31 + right).
    """
    count = 64 << right
    x = rng.integers(1 << (right + 6), 1 << (right + 8), count).astype(np.uint64) | np.uint64(1)
    inverse = x.copy()
    for _ in range(6):
        inverse *= np.uint64(2) - x * inverse
    wanted = rng.integers(-1, 1, count) - (1 << 30) * ((1 << right) + sign)
    multiplier = (wanted * sign).astype(np.uint64) * inverse & np.uint64((1 << (31 + right)) - 1)
    fits = (multiplier >= 1 << 30) & (multiplier < 1 << 31)
    return (x[fits].astype(np.int64) * sign).tolist(), multiplier[fits].tolist()


@pytest.mark.parametrize("right", range(1, 18))
def test_requantize_is_exact_where_float64_ends(right: int) -> None:
    rng = np.random.default_rng(right)
    for sign in (1, -1):
        xs, multipliers = at_the_edge(rng, right, sign)
        assert len(xs) > 10
        for zero_point in (0, -128):
            expected = [min(max(multiplied(x, m, -right) + zero_point, -128), 127) for x, m in zip(xs, multipliers)]
            got = requantize(torch.tensor([xs]), Multiplier(tuple(multipliers), (-right,) * len(xs)), zero_point, -128, 127)
            assert got.tolist() == [expected]


@pytest.mark.parametrize("dtype", [DType.INT8, DType.INT16])
def test_channels_have_their_own_factors(dtype: DType) -> None:
    """Channels that float64 has exactly and channels that it has not, in one tensor."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        shifts = rng.choice(np.arange(-31, 31) if rng.random() < 0.5 else np.arange(-12, 1), 7).tolist()
        fixed = rng.integers(1 << 30, 1 << 31, 7).tolist()
        x = rng.integers(-(1 << 24), 1 << 24, (3, 4, 7))
        got = requantize(torch.from_numpy(x).to(torch.float32), Multiplier(tuple(fixed), tuple(shifts)), 0, dtype.minimum, dtype.maximum)
        for index in np.ndindex(x.shape):
            exact = multiplied(int(np.float32(x[index])), fixed[index[-1]], shifts[index[-1]])
            assert got[index] == min(max(exact, dtype.minimum), dtype.maximum)


int32s = st.one_of(st.integers(INT32_MIN, INT32_MAX), st.sampled_from(EXTREMES))


@given(int32s, int32s)
def test_high_mul_needs_no_case_for_negative_products(a: int, b: int) -> None:
    assert saturating_rounding_doubling_high_mul(torch.tensor([a]), b).tolist() == [high_mul(a, b)]
    assert saturating_rounding_doubling_high_mul(torch.tensor([a], dtype=torch.int32), torch.tensor([b])).tolist() == [high_mul(a, b)]


@given(int32s, st.integers(0, 31))
def test_divide_by_power_of_two_rounds_halves_away_from_zero(x: int, exponent: int) -> None:
    assert rounding_divide_by_pot(torch.tensor([x]), exponent).tolist() == [divide_by_pot(x, exponent)]
    assert rounding_divide_by_pot(torch.tensor([x]), torch.tensor([exponent])).tolist() == [divide_by_pot(x, exponent)]


@given(st.integers(-(1 << 62), 1 << 62))
def test_wrap_is_that_of_a_32_bit_register(x: int) -> None:
    assert wrap_int32(torch.tensor([x])).tolist() == [wrapped(x)]


@given(st.floats(2.0**-31, 2.0**29))
def test_a_fixed_point_factor_is_within_half_a_bit(factor: float) -> None:
    multiplier, shift = quantize_multiplier(factor)
    assert 1 << 30 <= multiplier < 1 << 31
    assert abs(math.ldexp(multiplier, shift - 31) - factor) <= math.ldexp(0.5, shift - 31)


def test_factors_beyond_fixed_point() -> None:
    assert quantize_multiplier(0.0) == (0, 0)
    assert quantize_multiplier(2.0**-33) == (0, 0)
    assert quantize_multiplier(1 - 2.0**-40) == (1 << 30, 1)
    assert quantize_multiplier(2.0**40) == (INT32_MAX, 30)
    for bad in (-1.0, math.inf, math.nan):
        with pytest.raises(ModelError, match="must be finite and not negative"):
            quantize_multiplier(bad)


def value(scale: float | list[float], zero_point: int = 0, dtype: DType = DType.INT8) -> Value:
    single = isinstance(scale, float)
    quant = Quant.per_tensor(scale, zero_point, dtype) if single else Quant.per_axis(np.array(scale, np.float32), 0, dtype)
    return Value("v", (4,), dtype, quant)


def test_factors_of_layers() -> None:
    x, weight, out = value(0.1), value([0.01, 0.02]), value(0.3)
    scales = [float(np.float32(0.01)), float(np.float32(0.02))]
    expected = quantize_multipliers([scale * float(np.float32(0.1)) / float(np.float32(0.3)) for scale in scales])
    assert output_multiplier(x, weight, out) == expected
    assert output_multiplier(x, value(0.01), out) == Multiplier(expected.multiplier[:1], expected.shift[:1])
    with pytest.raises(ModelError, match="no quantization"):
        output_multiplier(x, Value("w", (4,)), out)
    with pytest.raises(ModelError, match="no per-tensor quantization"):
        output_multiplier(weight, weight, out)


@pytest.mark.parametrize(
    ("activation", "scale", "zero_point", "dtype", "expected"),
    [
        ("none", 0.1, 3, DType.INT8, (-128, 127)),
        ("relu", 0.1, 3, DType.INT8, (3, 127)),
        ("relu6", 0.1, -128, DType.INT8, (-128, -68)),
        ("relu6", 0.01, 0, DType.INT8, (0, 127)),
        ("relu_n1_to_1", 0.1, 120, DType.INT8, (110, 127)),
        ("relu_n1_to_1", 4.0, 0, DType.INT8, (0, 0)),
        ("relu_n1_to_1", 2.0, 0, DType.INT8, (-1, 1)),
        ("relu6", 0.001, 0, DType.INT16, (0, 6000)),
    ],
)
def test_activation_range(activation: str, scale: float, zero_point: int, dtype: DType, expected: tuple[int, int]) -> None:
    assert activation_range(activation, value(scale, zero_point, dtype)) == expected


def test_affine_quant_covers_its_range_and_zero() -> None:
    for low, high in [(-1.0, 3.0), (0.5, 2.0), (-3.0, -1.0), (0.0, 1e-3)]:
        quant = affine_quant(low, high)
        ends = quant.to_real(np.array([-128, 127]))
        assert ends[0] <= min(low, 0.0) + quant.scale[0] / 2 and ends[1] >= max(high, 0.0) - quant.scale[0] / 2
        assert quant.to_integer(np.array([0.0], np.float32))[0] == quant.zero_point[0]
    assert affine_quant(0.0, 0.0) == Quant.per_tensor(1.0, -128)
    assert affine_quant(-2.0, 1.0, DType.INT16) == Quant.per_tensor(2.0 / 32767, 0, DType.INT16)
