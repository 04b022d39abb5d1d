"""Static allocation: against brute force, and never overlapping."""

from __future__ import annotations

import csv
import itertools
import random
from pathlib import Path

import pytest

from edgewright.lower.allocate import allocate, first_fit, lower_bound, overlaps
from edgewright.lower.memory import Buffer


def height(buffers: list[Buffer], offsets: dict[str, int]) -> int:
    return max((offsets[buffer.name] + buffer.size_bytes for buffer in buffers), default=0)


def assert_disjoint(buffers: list[Buffer], offsets: dict[str, int]) -> None:
    for a, b in itertools.combinations(buffers, 2):
        if overlaps(a, b):
            assert offsets[a.name] + a.size_bytes <= offsets[b.name] or offsets[b.name] + b.size_bytes <= offsets[a.name], (a, b)


def instance(seed: int, count: int, steps: int) -> list[Buffer]:
    pick = random.Random(seed)
    buffers = []
    for index in range(count):
        first = pick.randrange(steps)
        buffers.append(Buffer(f"b{index}", 4 * pick.randint(1, 10), first, min(steps - 1, first + pick.randrange(5))))
    return buffers


@pytest.mark.parametrize("seed", range(60))
def test_small_instances_reach_the_optimum_of_brute_force(seed: int) -> None:
    buffers = instance(seed, 3 + seed % 4, 8)
    offsets, strategy = allocate(buffers)
    assert_disjoint(buffers, offsets)
    assert "optimal" in strategy
    # Some order of first-fit reaches every optimum.
    assert height(buffers, offsets) == min(height(buffers, first_fit(order)) for order in itertools.permutations(buffers))


def test_exact_search_beats_greedy_where_greedy_falls_short() -> None:
    improved = 0
    for seed in range(300):
        buffers = instance(seed, 12, 10)
        offsets, strategy = allocate(buffers)
        assert_disjoint(buffers, offsets)
        assert height(buffers, offsets) >= lower_bound(buffers)
        improved += strategy.startswith("exact")
    assert improved >= 3


def test_nothing_to_place() -> None:
    assert allocate([]) == ({}, "greedy, optimal")
    assert lower_bound([]) == 0


@pytest.mark.parametrize("name", ["A", "K"])
def test_large_published_instances_are_placed_without_overlap(shared_bench: Path, name: str) -> None:
    with open(shared_bench / "minimalloc" / f"{name}.1048576.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    buffers = [Buffer(row["id"], int(row["size"]), int(row["lower"]), int(row["upper"]) - 1) for row in rows]
    offsets, strategy = allocate(buffers)
    assert_disjoint(buffers, offsets)
    assert strategy == "greedy"
    assert lower_bound(buffers) == 1048576
