"""Separable and grouped forms: exact where the weight is of that form, the least squares where it is not."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from edgewright.ops import Conv2D, DepthwiseConv2D
from edgewright.passes.surgery.low_rank import relative_error
from edgewright.passes.surgery.separable import grouped, separated, together

RNG = np.random.default_rng(0)


def moments(size: int) -> np.ndarray:
    data = RNG.normal(size=(4 * size, size)) @ RNG.normal(size=(size, size))
    return data.T @ data / len(data)


def test_what_is_separable_is_found():
    filters, mixing = RNG.normal(size=(5, 3, 2, 1)), RNG.normal(size=(7, 1, 1, 5))
    weight = together(filters, mixing)
    for second in (None, moments(30)):
        again = together(*separated(weight, second, 3))
        np.testing.assert_allclose(again, weight, atol=1e-4)
    x = torch.from_numpy(RNG.normal(size=(2, 6, 6, 5)))
    (spread,) = DepthwiseConv2D((2, 1), ((1, 1), (0, 1))).evaluate([x, torch.from_numpy(filters)])
    (result,) = Conv2D().evaluate([spread, torch.from_numpy(mixing)])
    (wanted,) = Conv2D((2, 1), ((1, 1), (0, 1))).evaluate([x, torch.from_numpy(weight)])
    torch.testing.assert_close(result, wanted)


def test_every_round_comes_nearer_and_data_count():
    weight, second = RNG.normal(size=(8, 3, 3, 6)), moments(54)
    errors = [relative_error(weight, together(*separated(weight, second, rounds)), second) for rounds in range(5)]
    assert all(later <= before + 1e-9 for before, later in itertools.pairwise(errors)) and errors[-1] < errors[0]
    blind = together(*separated(weight, None, 4))
    assert relative_error(weight, blind, second) > errors[-1]
    assert relative_error(weight, blind, None) < relative_error(weight, together(*separated(weight, second, 4)), None)


def test_groups_are_the_least_squares():
    weight, second = RNG.normal(size=(4, 3, 1, 6)), moments(18)
    narrow = grouped(weight, second, 2)
    assert narrow.shape == (4, 3, 1, 3)
    whole = np.zeros_like(weight)
    whole[:2, :, :, :3], whole[2:, :, :, 3:] = narrow[:2], narrow[2:]
    least = relative_error(weight, whole, second)
    for _ in range(20):
        moved = whole + 0.01 * RNG.normal(size=whole.shape) * (whole != 0)
        assert relative_error(weight, moved, second) > least
