"""Scales of integer weights."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.ir.dtype import DType, Quant
from edgewright.numerics.scales import bias_scales, weight_scales


def test_the_largest_weight_of_each_channel_reaches_the_end() -> None:
    weight = np.array([[1.0, -2.0], [0.5, 0.25]], np.float32)
    assert weight_scales(weight) == pytest.approx([2 / 127, 0.5 / 127])
    assert weight_scales(weight, dtype=DType.INT4) == pytest.approx([2 / 7, 0.5 / 7])


def test_channels_without_weights_take_the_median() -> None:
    weight = np.array([[127.0], [0.0], [381.0]], np.float32)
    assert weight_scales(weight) == pytest.approx([1.0, 2.0, 3.0])
    assert weight_scales(np.zeros((2, 3), np.float32)) == pytest.approx([1.0, 1.0])


def test_a_bias_that_would_saturate_widens_the_scale() -> None:
    scales = weight_scales(np.array([[1.0], [1.0]], np.float32), np.array([1.0, 1e9], np.float32), 0.01)
    assert scales[0] == pytest.approx(1 / 127)
    assert 1e9 / (float(scales[1]) * 0.01) == pytest.approx(1 << 30, rel=1e-5)


@pytest.mark.parametrize("input_scale", [1e-30, 1e-3, 1.0, 1e30])
def test_every_scale_is_one_that_a_file_can_hold(input_scale: float) -> None:
    scales = weight_scales(np.array([[1e-38], [1.0], [0.0]], np.float32), np.zeros(3, np.float32), input_scale)
    Quant.per_axis(scales, 0)
    Quant.per_axis(bias_scales(scales, input_scale), 0, DType.INT32)
