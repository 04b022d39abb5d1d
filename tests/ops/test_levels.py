"""Sets of few levels: the nearest one, the type that holds them, and weights that are known to have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.ir.dtype import DType
from edgewright.ops.levels import LEVELS, all_levels, narrowest, nearest_level

SETS = {**LEVELS, **{dtype.value: all_levels(dtype) for dtype in (DType.INT2, DType.INT3, DType.INT4)}}


@pytest.mark.parametrize("name", SETS)
def test_the_nearest_level_is_the_nearest(name: str) -> None:
    levels = np.asarray(SETS[name], np.float64)
    steps = np.random.default_rng(0).normal(0, 4, 500)
    found = nearest_level(torch.from_numpy(steps), SETS[name]).numpy()
    assert set(found) <= set(levels)
    np.testing.assert_array_equal(np.abs(found - steps), np.abs(steps[:, None] - levels).min(1))
    assert nearest_level(torch.tensor([float("nan")]), SETS[name]).isnan().all()


def test_the_narrowest_type() -> None:
    assert [narrowest(LEVELS[name]) for name in ("binary", "ternary", "quaternary")] == [DType.INT2, DType.INT2, DType.INT3]
    assert all(narrowest(all_levels(dtype)) is dtype for dtype in (DType.INT2, DType.INT3, DType.INT4, DType.INT8))
