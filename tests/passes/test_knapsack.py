"""Every best selection: beside trying all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgewright.passes.knapsack import pareto_front


def all_selections(items: list[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    return [(sum(c for c, _ in picked), sum(loss for _, loss in picked)) for picked in itertools.product(*items)]


@pytest.mark.parametrize("seed", range(8))
def test_beside_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    items = [[(float(random.integers(1, 30)), float(random.integers(0, 50))) for _ in range(random.integers(1, 5))] for _ in range(6)]
    found = pareto_front(items)
    every = all_selections(items)
    best = {point for point in every if not any(other[0] <= point[0] and other[1] <= point[1] and other != point for other in every)}
    assert {(point.cost, point.loss) for point in found} == best
    assert [point.cost for point in found] == sorted(point.cost for point in found)
    for point in found:
        assert (point.cost, point.loss) == tuple(sum(items[i][pick][side] for i, pick in enumerate(point.picks)) for side in (0, 1))


def test_a_thinned_list_stays_within_its_bound() -> None:
    random = np.random.default_rng(0)
    items = [[(cost, float(loss)) for cost, loss in zip((2.0, 4.0, 8.0), sorted(random.random(3), reverse=True))] for _ in range(14)]
    items = [[(cost * float(scale), loss) for cost, loss in choices] for choices, scale in zip(items, random.uniform(1, 100, 14))]
    exact, thin = pareto_front(items), pareto_front(items, most_states=20)
    assert len(exact) > 20 >= len(thin)
    excess = len(items) / 20 * exact[-1].cost
    for point in exact:
        assert any(other.loss <= point.loss and other.cost <= point.cost + excess for other in thin)
