"""Every best selection: beside trying all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgewright.numerics.knapsack import LOAD_STEPS, pareto_front


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


@pytest.mark.parametrize("seed", range(8))
def test_a_limit_of_load_beside_brute_force(seed: int) -> None:
    """All that keeps the limit with a step of margin for each item is beaten or met, by what keeps the limit itself."""
    random = np.random.default_rng(seed)
    items = [[(float(random.integers(1, 30)), float(random.integers(0, 50))) for _ in range(4)] for _ in range(6)]
    loads = [[float(random.integers(1, 9)) for _ in choices] for choices in items]
    least, most = (sum(extreme(row) for row in loads) for extreme in (min, max))
    limit = least + 0.4 * (most - least)
    found = pareto_front(items, loads=loads, most_load=limit)
    for point in found:
        assert sum(loads[i][pick] for i, pick in enumerate(point.picks)) <= limit + 1e-9
    margin = len(items) * (limit - least) / LOAD_STEPS
    for picks in itertools.product(*(range(len(choices)) for choices in items)):
        if sum(loads[i][pick] for i, pick in enumerate(picks)) <= limit - margin:
            cost, loss = (sum(items[i][pick][side] for i, pick in enumerate(picks)) for side in (0, 1))
            assert any(point.cost <= cost and point.loss <= loss for point in found)
    assert [point.cost for point in found] == sorted(point.cost for point in found)


def test_a_limit_that_nothing_keeps_leaves_nothing() -> None:
    items, loads = [[(1.0, 2.0), (2.0, 1.0)]] * 3, [[3.0, 2.0]] * 3
    assert pareto_front(items, loads=loads, most_load=5.9) == []
    (only,) = pareto_front(items, loads=loads, most_load=6.0)
    assert only.picks == (1, 1, 1)


def test_a_limit_and_many_states() -> None:
    random = np.random.default_rng(1)
    items = [[(float(c), float(10 - c) * scale) for c in (2, 4, 8)] for scale in random.uniform(1, 100, 40)]
    loads = [[1.4 * size, 1.3 * size, size] for size in random.uniform(1, 50, 40)]
    limit = 1.1 * sum(row[2] for row in loads)
    found = pareto_front(items, 5000, loads=loads, most_load=limit)
    assert found and all(sum(loads[i][pick] for i, pick in enumerate(point.picks)) <= limit + 1e-6 for point in found)
