"""Clusters on a line."""

from __future__ import annotations

import numpy as np

from edgewright.numerics.k_means import k_means


def test_no_start_misses_what_is_there():
    rng = np.random.default_rng(0)
    centres = np.array([-3.0, -0.2, 0.1, 5.0])
    numbers = (centres[:, None] + rng.normal(size=(4, 50)) * 0.01).reshape(-1)
    np.testing.assert_allclose(k_means(numbers, 4), centres, atol=0.02)
    np.testing.assert_array_equal(k_means(np.array([1.0, 1.0, 2.0]), 4), [1.0, 2.0])
