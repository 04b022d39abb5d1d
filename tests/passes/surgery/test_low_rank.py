"""Factors of full rank are the layer; of lower rank they are the best there are for their kind, judged by what the layer is fed with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.ops import Conv2D, Dense
from edgewright.passes.surgery.low_rank import Factors, relative_error, root, spatial, svd, tucker

RNG = np.random.default_rng(0)
OP = Conv2D((2, 1), ((1, 0), (2, 1)), (1, 2), activation="relu")
WEIGHT = RNG.normal(size=(8, 3, 2, 6))


def computed(factors: Factors, x: torch.Tensor) -> torch.Tensor:
    for op, weight in factors.layers:
        (x,) = op.evaluate([x, torch.from_numpy(np.array(weight))])
    return x


def moments(size: int) -> np.ndarray:
    data = RNG.normal(size=(3 * size, size)) * np.geomspace(1, 30, size)
    return data.T @ data / len(data)


@pytest.mark.parametrize("kind", ["svd", "spatial", "tucker"])
@pytest.mark.parametrize("rank", [2, 100])
def test_the_chain_computes_its_weight(kind, rank):
    made = {"svd": svd, "spatial": spatial, "tucker": tucker}[kind]
    second = moments(36)
    greatest = {"svd": [8], "spatial": [16], "tucker": [(6, 8)]}[kind]
    (factors,) = made(OP, WEIGHT, second, greatest if rank == 100 else [(2, 2)] if kind == "tucker" else [2])
    x = torch.from_numpy(RNG.normal(size=(2, 9, 8, 6)))
    plain = Conv2D(OP.stride, OP.padding, OP.dilation)
    (wanted,) = plain.evaluate([x, torch.from_numpy(factors.weight)])
    torch.testing.assert_close(computed(factors, x), wanted)
    if rank == 100:
        np.testing.assert_allclose(factors.weight, WEIGHT, atol=1e-9)
        assert factors.error < 1e-15
    else:
        assert 0 < factors.error < 1 and factors.parameters < WEIGHT.size


def test_svd_is_the_best_of_its_rank_for_the_data_at_hand():
    weight, second = RNG.normal(size=(10, 12)), moments(12)
    values = np.linalg.svd(weight @ root(second), compute_uv=False)
    for rank, factors in zip((1, 4, 7), svd(Dense(), weight, second, [1, 4, 7]), strict=True):
        assert factors.error == pytest.approx(np.square(values[rank:]).sum() / np.square(values).sum())
        (blind,) = svd(Dense(), weight, None, [rank])
        assert relative_error(weight, blind.weight, second) > factors.error
        assert blind.error < relative_error(weight, factors.weight, None)


def test_what_is_of_low_rank_is_found():
    column, row = RNG.normal(size=(3, 3, 1, 6)), RNG.normal(size=(8, 1, 2, 3))
    (factors,) = spatial(OP, np.einsum("rayi,oxbr->oabi", column, row), None, [3])
    assert factors.error < 1e-15
    core, narrow, wide = RNG.normal(size=(3, 3, 2, 2)), RNG.normal(size=(2, 6)), RNG.normal(size=(8, 3))
    (factors,) = tucker(OP, np.einsum("ow,wabn,ni->oabi", wide, core, narrow), moments(36), [(2, 3)])
    assert factors.error < 1e-15
