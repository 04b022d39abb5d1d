from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType, Quant


def test_widths_and_ranges():
    assert [dtype.bits for dtype in DType] == [32, 16, 2, 3, 4, 8, 16, 32]
    assert (DType.INT4.minimum, DType.INT4.maximum) == (-8, 7)
    assert (DType.INT8.minimum, DType.INT8.maximum) == (-128, 127)
    assert (DType.INT32.minimum, DType.INT32.maximum) == (-(1 << 31), (1 << 31) - 1)
    assert DType.INT4.is_integer and not DType.FLOAT16.is_integer
    assert [dtype.numpy.name for dtype in DType] == ["float32", "float16", "int8", "int8", "int8", "int8", "int16", "int32"]


@pytest.mark.parametrize(
    ("dtype", "elements", "size"),
    [
        (DType.INT4, 0, 0),
        (DType.INT4, 1, 1),
        (DType.INT4, 2, 1),
        (DType.INT4, 7, 4),
        (DType.INT8, 7, 7),
        (DType.FLOAT16, 3, 6),
        (DType.INT32, 3, 12),
    ],
)
def test_bytes(dtype, elements, size):
    assert dtype.bytes_of(elements) == size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((DType.FLOAT32, (1.0,), (0,)), "needs an integer type"),
        ((DType.INT8, (), ()), "do not describe a quantization"),
        ((DType.INT8, (1.0, 2.0), (0, 0)), "do not describe a quantization"),
        ((DType.INT8, (1.0, 2.0), (0,), 0), "do not describe a quantization"),
        ((DType.INT8, (0.0,), (0,)), "finite and positive"),
        ((DType.INT8, (-1.0,), (0,)), "finite and positive"),
        ((DType.INT8, (float("nan"),), (0,)), "finite and positive"),
        ((DType.INT8, (1e-60,), (0,)), "finite and positive"),
        ((DType.INT8, (float("inf"),), (0,)), "finite and positive"),
        ((DType.INT8, (1.0,), (128,)), "zero point lies outside of int8"),
        ((DType.INT4, (1.0,), (-9,)), "zero point lies outside of int4"),
    ],
)
def test_a_quant_is_sound_or_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        Quant(*arguments)


def test_scales_are_float32_numbers():
    assert Quant.per_tensor(0.1).scale == (float(np.float32(0.1)),)
    assert Quant.per_tensor(0.1) == Quant.per_tensor(np.float32(0.1))


def test_per_axis_shapes_broadcast():
    quant = Quant.per_axis(np.float32([1, 2, 4]), 1)
    assert quant.scales(3).shape == (1, 3, 1) and quant.zero_points(2).shape == (1, 3)
    real = np.full((2, 3), 4.0, np.float32)
    np.testing.assert_array_equal(quant.to_integer(real), [[4, 2, 1]] * 2)
    np.testing.assert_array_equal(quant.to_real(quant.to_integer(real)), real)


def test_scales_can_be_picked():
    quant = Quant.per_axis(np.float32([1, 2, 4]), 0)
    assert quant.take(np.array([2, 0])).scale == (4.0, 1.0)
    assert Quant.per_tensor(3.0).take([5, 6]) == Quant.per_tensor(3.0)


def test_rounding_is_to_even_and_saturates():
    quant = Quant.per_tensor(1.0, 10)
    np.testing.assert_array_equal(quant.to_integer(np.array([0.5, 1.5, -0.5, 1e9, -1e9])), [10, 12, 10, 127, -128])
    assert quant.to_integer(np.zeros(2)).dtype == np.int8
    assert Quant.per_tensor(1.0, 0, DType.INT4).to_integer(np.array([100.0])) == [7]


@given(st.floats(1e-6, 1e3), st.integers(-128, 127), st.integers(-128, 127))
def test_integers_survive_the_way_through_the_reals(scale, zero_point, integer):
    quant = Quant.per_tensor(scale, zero_point)
    assert quant.to_integer(quant.to_real(np.array([integer], np.int8))) == [integer]
