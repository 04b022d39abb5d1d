"""LayerNorm: its fixed-point root against Python's integers, its bytes near the reals, the ends of its range."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ops import LayerNorm
from edgewright.ops.layer_norm import FRACTION_BITS, MOST_CHANNELS, reciprocal_root


def test_the_reciprocal_root_is_exact() -> None:
    rng = np.random.default_rng(0)
    numbers = [1, 2, 3, 4, (1 << 53) + 1, (1 << 54) - 1, (1 << 60) - 1, 1 << 60, (1 << 61) - 1]
    numbers += [int(rng.integers(1, 1 << int(bits))) for bits in rng.integers(1, 61, 2000)]
    raw, shift = reciprocal_root(torch.tensor(numbers))
    for number, got, right in zip(numbers, raw.tolist(), shift.tolist(), strict=True):
        left = next(count for count in range(32) if number << (2 * count) >= 1 << 60)
        assert (got, right) == ((1 << 61) // math.isqrt(number << (2 * left)), 61 - left - FRACTION_BITS)


def layer(channels: int, scale: float, zero_point: int, spread: float = 1.0, epsilon: float = 1e-5):
    """The operator, its values and its constants, with output steps of 1/20."""
    rng = np.random.default_rng(channels)
    weight, bias = rng.normal(1, 0.3, channels) * spread, rng.normal(0, 1, channels)
    steps = (np.maximum(np.abs(weight), 1e-3) / 127).astype(np.float32)
    integers = [np.rint(weight / steps).astype(np.int32), np.rint(bias / (steps * 2.0**-FRACTION_BITS)).astype(np.int32)]
    ins = (
        Value("x", (None, channels), DType.INT8, Quant.per_tensor(scale, zero_point)),
        Value("scale", (channels,), DType.INT8, Quant.per_axis(steps, 0, DType.INT8)),
        Value("offset", (channels,), DType.INT32),
    )
    return LayerNorm(epsilon), ins, (Value("y", (None, channels), DType.INT8, Quant.per_tensor(0.05, -3)),), weight, bias, integers


@pytest.mark.parametrize(("channels", "scale", "zero_point"), [(1, 0.1, 0), (2, 1e-4, 127), (64, 0.05, -128), (385, 3.0, 5)])
def test_integers_are_the_rounded_reals(channels: int, scale: float, zero_point: int) -> None:
    op, ins, outs, weight, bias, integers = layer(channels, scale, zero_point)
    x = torch.from_numpy(np.random.default_rng(1).integers(-128, 128, (40, channels)).astype(np.int32))
    x[0] = 7
    (got,) = op.evaluate_integer([x, *map(torch.from_numpy, integers)], ins, outs)
    reals = [(x.to(torch.float64) - zero_point) * scale, torch.from_numpy(weight), torch.from_numpy(bias)]
    wanted = (op.evaluate(reals)[0] / 0.05 - 3).clamp(-128, 127)
    assert float((got - wanted).abs().max()) < 0.51


def test_rows_without_spread_give_the_offset() -> None:
    op, ins, outs, _, bias, integers = layer(16, 0.1, 0)
    (got,) = op.evaluate_integer([torch.full((1, 16), 90, dtype=torch.int32), *map(torch.from_numpy, integers)], ins, outs)
    np.testing.assert_allclose(got[0].numpy(), np.clip(bias / 0.05 - 3, -128, 127), atol=0.51)


def test_what_is_refused() -> None:
    op, ins, outs, *_ = layer(4, 0.1, 0)
    with pytest.raises(ModelError, match="does not fit scale"):
        op.infer([Value("x", (None, 4)), Value("scale", (4,)), Value("offset", (3,))])
    wide = (Value("x", (None, MOST_CHANNELS + 1), DType.INT8, Quant.per_tensor(0.1, 0)), *ins[1:])
    with pytest.raises(UnsupportedError, match="no integer form") as caught:
        op.evaluate_integer([torch.zeros(1), torch.zeros(1), torch.zeros(1)], wide, outs)
    assert caught.value.hint
