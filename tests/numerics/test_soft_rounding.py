"""Learned rounding: shares reach both ends and stay in between, grids pass gradients to numbers and steps, as their papers have them."""

from __future__ import annotations

import numpy as np
import torch

from edgewright.numerics.soft_rounding import FIRST_POWER, LAST_POWER, latent_of, on_grid, power_at, share, undecided


def test_shares_reach_both_ends_and_latent_numbers_invert_them() -> None:
    part = torch.linspace(0.0, 1.0, 21)
    torch.testing.assert_close(share(latent_of(part)), part, atol=1e-6, rtol=0)
    ends = share(torch.tensor([-2.5, 2.5]))
    assert ends.tolist() == [0.0, 1.0]


def test_the_regularizer_is_least_at_the_ends_and_turns_steeper() -> None:
    part = torch.tensor([0.0, 1.0, 0.5, 0.9])
    for power in (LAST_POWER, 5.0, FIRST_POWER):
        each = [float(undecided(one, power)) for one in part]
        assert each[:2] == [0.0, 0.0] and each[2] == 1.0 and 0 < each[3] < 1
    slopes = []
    for power in (FIRST_POWER, LAST_POWER):
        x = torch.tensor(0.6, requires_grad=True)
        undecided(x, power).backward()
        slopes.append(float(x.grad))
    assert slopes[1] < -0.5 < slopes[0] < 0
    assert power_at(0.0) == FIRST_POWER and abs(power_at(1.0) - LAST_POWER) < 1e-9 and power_at(0.3) > power_at(0.6)


def test_a_regularized_share_ends_at_zero_or_one() -> None:
    latent = latent_of(torch.tensor([0.3, 0.45, 0.55, 0.8])).requires_grad_()
    optimizer = torch.optim.Adam([latent], 0.05)
    for step in range(400):
        optimizer.zero_grad()
        undecided(share(latent), power_at(step / 400)).backward()
        optimizer.step()
    assert share(latent).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_grids_round_as_the_device_and_leave_out_what_is_kept() -> None:
    x = torch.from_numpy(np.random.default_rng(0).uniform(-3, 5, (4, 50)).astype(np.float32))
    step = torch.tensor(0.25)
    found = on_grid(x, step, -3, -8, 7)
    expected = (torch.clamp(torch.round(x / step) - 3, -8, 7) + 3) * step
    assert torch.equal(found, expected)
    kept = torch.rand(x.shape) < 0.5
    assert torch.equal(on_grid(x, step, -3, -8, 7, kept), torch.where(kept, x, expected))


def test_gradients_go_straight_through_and_to_the_step() -> None:
    """LSQ's: the rounding error inside the range, the bound beyond it; nothing for what is kept."""
    x = torch.tensor([0.3, 1.1, 9.0, -9.0, 0.7], requires_grad=True)
    step = torch.tensor(0.5, requires_grad=True)
    kept = torch.tensor([False, False, False, False, True])
    on_grid(x, step, 0, -8, 7, kept).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0, 0.0, 1.0]
    np.testing.assert_allclose(float(step.grad), (1 - 0.6) + (2 - 2.2) + 7 - 8, rtol=1e-5)
