"""Ghosts: exact where channels are filtered copies of others, the least squares where they are not."""

from __future__ import annotations

import numpy as np
import torch

from edgewright.ops import DepthwiseConv2D
from edgewright.passes.surgery.ghost import Outputs, ghosts

SAME = ((1, 1), (1, 1))


def filtered(planes: torch.Tensor, filters: np.ndarray) -> torch.Tensor:
    return DepthwiseConv2D(padding=SAME).evaluate([planes, torch.from_numpy(filters).float()])[0]


def images(channels: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(6, 9, 7, channels))).float()


def test_filtered_copies_are_found_wherever_they_stand() -> None:
    rng = np.random.default_rng(1)
    base, filters = images(4), rng.normal(size=(4, 3, 3, 1))
    copies = filtered(base, filters) + torch.tensor([0.5, -1.0, 2.0, 0.0])
    places = rng.permutation(8)
    y = torch.cat([base, copies], 3)[..., places]
    seen = Outputs(8, 3)
    for begin in range(0, 6, 2):
        seen.add(y[begin : begin + 2], y[begin : begin + 2])
    fit = ghosts(seen, 2, free=True)
    assert fit.error < 1e-3 and sorted(fit.order) == list(range(8)) and fit.computed == 4
    assert {int(places[place]) for place in fit.order[:4]} == {0, 1, 2, 3}, "the computed ones are those that were filtered"
    again = filtered(y[..., fit.order[:4]], fit.filters) + torch.from_numpy(fit.bias).float()
    torch.testing.assert_close(again, y[..., fit.order[4:]], atol=0.02, rtol=0.02)
    np.testing.assert_array_equal(ghosts(seen, 2, free=False).order, np.arange(8))
    assert ghosts(seen, 2, free=False).error >= fit.error


def test_the_error_is_what_is_lost_and_nothing_near_loses_less() -> None:
    mixed = images(6) @ torch.from_numpy(np.random.default_rng(2).normal(size=(6, 6))).float()
    after = torch.relu(mixed)
    seen = Outputs(6, 3)
    seen.add(mixed, after)
    fit = ghosts(seen, 3, free=True)
    assert fit.computed == 2 and len(fit.bias) == 4
    sources = after[..., fit.order[:2]].repeat_interleave(2, 3)
    wanted = mixed[..., fit.order[2:]].double()

    def lost(filters: np.ndarray) -> float:
        missed = wanted - filtered(sources, filters).double() - torch.from_numpy(fit.bias)
        return float(missed.square().sum() / (mixed.double() - mixed.double().mean((0, 1, 2))).square().sum())

    assert abs(lost(fit.filters) - fit.error) < 1e-3
    rng = np.random.default_rng(3)
    for _ in range(10):
        assert lost(fit.filters + 0.05 * rng.normal(size=fit.filters.shape)) > lost(fit.filters)
