"""Muon: orthogonal steps, rows of tables, and what learns by which rule."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from edgewright.train.muon import Muon, orthogonalized


@pytest.mark.parametrize("shape", [(24, 24), (12, 60), (60, 12), (2, 9)])
def test_steps_are_nearly_orthogonal_and_keep_their_singular_vectors(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape) * 3e-4
    step = orthogonalized(matrix)
    assert step.shape == matrix.shape and step.dtype == matrix.dtype
    singular = torch.linalg.svdvals(step)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert singular.min() > 0.5 and singular.max() < 1.3
    cosine = torch.sum(step * (left @ right)) / (step.norm() * (left @ right).norm())
    assert cosine > 0.97
    assert torch.equal(orthogonalized(torch.zeros(shape)), torch.zeros(shape))


def test_a_step_is_a_share_of_the_norm_and_moves_zero_filters():
    torch.manual_seed(0)
    filters, zeros = nn.Parameter(torch.randn(8, 3, 3, 4) * 7), nn.Parameter(torch.zeros(8, 16))
    before = filters.detach().clone()
    for parameter in (filters, zeros):
        parameter.grad = torch.randn_like(parameter)
    Muon([filters, zeros], lr=0.01).step()
    assert (filters - before).norm().item() == pytest.approx(0.01 * before.norm().item(), rel=1e-4)
    assert zeros.norm().item() == pytest.approx(0.01 * 0.1 * 8**0.5, rel=1e-4)


def test_vectors_single_filters_and_tables_learn_by_adam():
    torch.manual_seed(0)
    shapes = ((8,), (1, 3, 3, 8), (8, 1), (9000, 4))
    mine, other = ([nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1))) for shape in shapes] for _ in range(2))
    muon, adam = Muon(mine, lr=0.03), torch.optim.Adam(other, lr=0.01, betas=(0.9, 0.99))
    for _ in range(3):
        for pair in zip(mine, other, strict=True):
            gradient = torch.randn_like(pair[0])
            for parameter in pair:
                parameter.grad = gradient.clone()
        muon.step()
        adam.step()
    for own, peer in zip(mine, other, strict=True):
        torch.testing.assert_close(own, peer, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [60, 9000])
def test_sparse_gradients_move_their_rows_alone(rows):
    torch.manual_seed(0)
    table = nn.Embedding(rows, 4, sparse=True)
    before = table.weight.detach().clone()
    muon = Muon(table.parameters(), lr=0.03)
    for _ in range(2):
        muon.zero_grad()
        table(torch.tensor([3, 5, 3])).square().sum().backward()
        muon.step()
    moved = (table.weight != before).any(1).nonzero().flatten()
    assert moved.tolist() == [3, 5]
    assert (table.weight - before).abs().max() <= 2.1 * 0.01


def test_it_learns_a_network_in_fewer_steps_than_adamw():
    def steps(make) -> float:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
        inputs = torch.randn(512, 20)
        wanted = torch.randn(512, 5)
        optimizer = make(network.parameters())
        for _ in range(60):
            optimizer.zero_grad()
            loss = (network(inputs) - wanted).square().mean()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    assert steps(lambda parameters: Muon(parameters, lr=0.03)) < 0.8 * steps(lambda parameters: torch.optim.AdamW(parameters, lr=3e-3))
