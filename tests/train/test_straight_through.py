"""Straight-through gradients against those that autograd gives the same formula, and where they end."""

from __future__ import annotations

import pytest
import torch

from edgewright.train.straight_through import pass_latent, pass_through, pass_through_scaled


@pytest.mark.parametrize("channels", [1, 5])
def test_a_scaled_estimate_has_the_gradients_of_its_formula(channels: int) -> None:
    torch.manual_seed(0)
    start, scales = torch.randn(3, 4, 5) * 40, torch.rand(channels) + 0.5
    exact = torch.randn(3, 4, 5).round()
    found = []
    for fused in (True, False):
        sums, factor = start.clone().requires_grad_(), scales.clone().requires_grad_()
        if fused:
            result = pass_through_scaled(sums, factor, 3.0, exact, -20, 20)
        else:
            result = pass_through(sums * factor + 3.0, exact, -20, 20)
        torch.testing.assert_close(result, exact, rtol=0, atol=0)
        result.square().sum().backward()
        found.append((sums.grad, factor.grad))
    torch.testing.assert_close(found[0], found[1])
    assert (found[0][0] == 0).any() and (found[0][0] != 0).any()


def test_a_gradient_ends_beyond_the_bounds_and_not_at_them() -> None:
    estimate = torch.tensor([-1.001, -1.0, 0.0, 1.0, 1.001], requires_grad=True)
    pass_through(estimate, torch.zeros(5), -1, 1).sum().backward()
    assert estimate.grad is not None and estimate.grad.tolist() == [0, 1, 1, 1, 0]


def test_latent_weights_come_back_but_go_no_further_out() -> None:
    latent = torch.tensor([[-3.0, -3.0, 0.5, 3.0, 3.0]], requires_grad=True)
    scale = torch.tensor([[2.0]], requires_grad=True)
    result = pass_latent(latent, scale, torch.tensor([[-1.0, -1, 1, 1, 1]]), -1, 1)
    (result * torch.tensor([[1.0, -1.0, 1.0, 1.0, -1.0]])).sum().backward()
    assert latent.grad is not None and scale.grad is not None
    # A step goes against the gradient: the first and the last would move out.
    assert latent.grad.tolist() == [[0.0, -0.5, 0.5, 0.5, 0.0]]
    torch.testing.assert_close(scale.grad, torch.tensor([[-0.5 / 2.0**2]]))
