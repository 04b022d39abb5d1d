"""Integers that minimize a quadratic error: never worse than the nearest ones, and the best there are where all can be tried."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from edgewright.ir.dtype import DType
from edgewright.numerics.rounding import (
    DAMPING,
    GPTQ_DAMPING,
    Moments,
    best_scales,
    compensated,
    gptq_rows,
    round_rows,
    row_factors,
)
from edgewright.ops.levels import all_levels


def drawn(seed: int, groups: int, rows: int, size: int) -> tuple[Tensor, Tensor]:
    """Weights, and a second moment with strong correlations."""
    random = np.random.default_rng(seed)
    data = random.standard_normal((groups, 4 * size, size)) @ (np.eye(size) + 0.7 * random.standard_normal((size, size)))
    weight = torch.from_numpy(random.standard_normal((groups, rows, size)))
    return weight, torch.from_numpy(np.swapaxes(data, 1, 2) @ data / data.shape[1])


def error(integers: Tensor, scale: Tensor, weight: Tensor, second: Tensor) -> Tensor:
    off = integers * scale[..., None] - weight
    return ((off @ second) * off).sum(-1)


@pytest.mark.parametrize("dtype", [DType.INT2, DType.INT3, DType.INT4, DType.INT8])
def test_rounded_rows_beat_the_nearest_integers(dtype: DType) -> None:
    weight, second = drawn(1, 3, 5, 12)
    scale = best_scales(weight, second, all_levels(dtype))
    nearest = torch.clamp(torch.round(weight / scale[..., None]), dtype.minimum, dtype.maximum)
    integers, fitted = round_rows(weight, second, scale, all_levels(dtype), torch.ones_like(weight, dtype=torch.bool), 20)
    assert int(integers.min()) >= dtype.minimum and int(integers.max()) <= dtype.maximum
    assert bool((integers == torch.round(integers)).all())
    before, after = error(nearest, scale, weight, second).sum(), error(integers, fitted, weight, second).sum()
    assert float(after) < 0.97 * float(before)


def test_no_single_integer_can_be_moved_for_the_better() -> None:
    weight, second = drawn(2, 1, 4, 6)
    scale = best_scales(weight, second, all_levels(DType.INT3))
    integers, fitted = round_rows(weight, second, scale, all_levels(DType.INT3), torch.ones_like(weight, dtype=torch.bool), 50)
    damped = second + DAMPING * second.diagonal(dim1=1, dim2=2).mean() * torch.eye(6, dtype=torch.float64)
    best = error(integers, fitted, weight, damped)
    for column, step in itertools.product(range(6), (-1, 1)):
        moved = integers.clone()
        moved[..., column] = (moved[..., column] + step).clamp(DType.INT3.minimum, DType.INT3.maximum)
        assert bool((error(moved, fitted, weight, damped) >= best - 1e-9).all())


def test_close_to_the_best_of_all_integers() -> None:
    ratios = []
    for seed in range(12):
        weight, second = drawn(seed, 1, 1, 4)
        scale = best_scales(weight, second, all_levels(DType.INT2))
        integers, fitted = round_rows(weight, second, scale, all_levels(DType.INT2), torch.ones_like(weight, dtype=torch.bool), 30)
        every = torch.tensor(list(itertools.product(range(-2, 2), repeat=4)), dtype=torch.float64)[None]
        least = error(every, fitted.expand(1, len(every[0])), weight, second).min()
        ratios.append(float(error(integers, fitted, weight, second).sum() / least))
    assert np.median(ratios) < 1.2 and max(ratios) < 4


def test_what_is_not_free_stays_zero() -> None:
    weight, second = drawn(3, 2, 4, 8)
    free = torch.from_numpy(np.random.default_rng(0).random((2, 4, 8)) < 0.5)
    levels = all_levels(DType.INT4)
    integers, _ = round_rows(weight * free, second, best_scales(weight * free, second, levels), levels, free, 10)
    assert bool((integers[~free] == 0).all()) and bool((integers[free] != 0).any())


def test_dead_rows_and_dead_inputs_give_finite_scales() -> None:
    weight, second = torch.zeros(1, 3, 4, dtype=torch.float64), torch.zeros(1, 4, 4, dtype=torch.float64)
    levels = all_levels(DType.INT4)
    integers, scale = round_rows(weight, second, best_scales(weight, second, levels), levels, torch.ones_like(weight) > 0, 5)
    assert not integers.any() and bool((scale > 0).all()) and bool(torch.isfinite(scale).all())


def test_compensation_aims_at_what_the_float_data_gave() -> None:
    random = np.random.default_rng(4)
    floats = random.standard_normal((4000, 5))
    mixing = np.eye(5) + 0.2 * random.standard_normal((5, 5))
    quantized = floats @ mixing
    weight = torch.from_numpy(random.standard_normal((1, 3, 5)))
    mean, other = (torch.from_numpy(array.mean(0))[None] for array in (quantized, floats))
    second = torch.from_numpy(np.cov(quantized.T, bias=True))[None]
    crossed = torch.from_numpy((floats - floats.mean(0)).T @ (quantized - quantized.mean(0)) / len(floats))[None]
    found = compensated(weight, Moments(mean, other, second, crossed, len(floats)), 1e-9)
    np.testing.assert_allclose(quantized @ found[0].numpy().T, floats @ weight[0].numpy().T, atol=1e-5)


@pytest.mark.parametrize("dtype", [DType.INT2, DType.INT3, DType.INT4])
def test_gptq_is_its_paper_column_by_column_and_never_worse_than_the_nearest(dtype: DType) -> None:
    """Against optimal brain quantization written out: after each column the best real values of all that are left, by least squares."""
    weight, second = drawn(5, 2, 3, 9)
    levels = all_levels(dtype)
    scale = weight.abs().amax(-1) / dtype.maximum
    found = gptq_rows(weight, second, scale, levels, torch.ones_like(weight))
    damped = second + GPTQ_DAMPING * second.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(9, dtype=torch.float64)
    order = torch.argsort(damped.diagonal(dim1=1, dim2=2).mean(0), descending=True).tolist()
    for group, row in itertools.product(range(2), range(3)):
        real, moment, step = weight[group, row].clone(), damped[group], float(scale[group, row])
        expected = torch.zeros(9, dtype=torch.float64)
        for place, column in enumerate(order):
            expected[column] = (real[column] / step).round().clamp(dtype.minimum, dtype.maximum)
            off, rest = real[column] - expected[column] * step, order[place + 1 :]
            if rest:
                real[rest] += torch.linalg.solve(moment[rest][:, rest], moment[rest, column] * off)
        assert found[group, row].tolist() == expected.tolist()
    nearest = torch.clamp(torch.round(weight / scale[..., None]), dtype.minimum, dtype.maximum)
    assert float(error(found, scale, weight, second).sum()) < 0.9 * float(error(nearest, scale, weight, second).sum())


def test_factors_of_groups_serve_each_group_and_keep_products_in_a_byte() -> None:
    weight, second = drawn(6, 1, 4, 24)
    weight = weight * torch.tensor([1.0, 0.15, 0.5]).repeat_interleave(8)
    for dtype in (DType.INT3, DType.INT4):
        levels = all_levels(dtype)
        scale, factors = row_factors(weight, second, levels, 8)
        assert factors.shape == weight.shape and int(factors.min()) >= 1 and int(factors.max()) * -levels[0] <= 127
        assert bool((factors.reshape(1, 4, 3, 8) == factors.reshape(1, 4, 3, 8)[..., :1]).all())
        integers, fitted = round_rows(weight, second, scale, levels, factors, 20)
        assert bool((torch.remainder(integers, factors) == 0).all()) and int((integers / factors).abs().max()) <= -levels[0]
        single, plain = round_rows(weight, second, best_scales(weight, second, levels), levels, torch.ones_like(weight), 20)
        assert float(error(integers, fitted, weight, second).sum()) < 0.6 * float(error(single, plain, weight, second).sum())
