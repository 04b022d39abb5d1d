"""Static allocation: against brute force, and never overlapping."""

from __future__ import annotations

import csv
import functools
import itertools
import random
from pathlib import Path

import pytest

from edgewright.errors import EdgewrightError
from edgewright.lower.allocate import SEARCH_BUFFERS, Allocation, allocate, first_fit, fit, lower_bound, overlaps
from edgewright.lower.beam import Answer
from edgewright.lower.depth_first import _compiled, depth_first
from edgewright.lower.memory import Buffer

CAPACITY = 1_048_576


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
    found = allocate(buffers)
    offsets, strategy = found.offsets, found.strategy
    assert_disjoint(buffers, offsets)
    assert "optimal" in strategy
    # Some order of first-fit reaches every optimum.
    assert height(buffers, offsets) == min(height(buffers, first_fit(order)) for order in itertools.permutations(buffers))


def test_exact_search_beats_greedy_where_greedy_falls_short() -> None:
    improved = 0
    for seed in range(300):
        buffers = instance(seed, 12, 10)
        found = allocate(buffers)
        offsets, strategy = found.offsets, found.strategy
        assert_disjoint(buffers, offsets)
        assert height(buffers, offsets) >= lower_bound(buffers)
        improved += strategy.startswith("exact")
    assert improved >= 3


def test_nothing_to_place() -> None:
    assert allocate([]) == Allocation({}, "greedy, optimal", 0)
    assert lower_bound([]) == 0


def published(shared_bench: Path, name: str) -> list[Buffer]:
    with open(shared_bench / "minimalloc" / f"{name}.{CAPACITY}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [Buffer(row["id"], int(row["size"]), int(row["lower"]), int(row["upper"]) - 1) for row in rows]


def test_more_buffers_than_a_search_takes_are_placed_greedily(shared_bench: Path) -> None:
    buffers = published(shared_bench, "J")
    assert len(buffers) > SEARCH_BUFFERS
    found = allocate(buffers)
    offsets, strategy = found.offsets, found.strategy
    assert_disjoint(buffers, offsets)
    assert strategy == "greedy" and height(buffers, offsets) > lower_bound(buffers)


def test_the_same_buffers_get_the_same_places_and_names_do_not_matter_to_the_height() -> None:
    buffers = instance(9, 40, 20)
    first = allocate(buffers)
    assert allocate(buffers) == first
    renamed = [Buffer(f"x{index}", b.size_bytes, b.first, b.last) for index, b in enumerate(buffers)]
    assert height(renamed, allocate(renamed).offsets) == height(buffers, first.offsets)


def test_buffers_without_bytes_lie_anywhere() -> None:
    buffers = [*instance(0, 12, 10), Buffer("empty", 0, 0, 9)]
    offsets = allocate(buffers).offsets
    assert set(offsets) == {buffer.name for buffer in buffers}


@pytest.mark.parametrize("seed", range(30))
def test_both_searches_decide_every_capacity_like_brute_force(seed: int) -> None:
    buffers = instance(seed, 6, 7)
    optimum = min(height(buffers, first_fit(order)) for order in itertools.permutations(buffers))
    for decide in (None, depth_first):
        for capacity in range(lower_bound(buffers), optimum + 5, 4):
            answer, offsets = fit(buffers, capacity, decide)
            assert answer is (Answer.FOUND if capacity >= optimum else Answer.NONE)
            if offsets:
                assert_disjoint(buffers, offsets)
                assert height(buffers, offsets) <= capacity


def test_a_search_that_reaches_its_limit_says_so() -> None:
    buffers = instance(11, 120, 30)
    few = functools.partial(depth_first, nodes=10)
    assert fit(buffers, lower_bound(buffers), few) == (Answer.LIMIT, {})
    found = allocate(buffers, few)
    offsets, strategy = found.offsets, found.strategy
    assert_disjoint(buffers, offsets)
    assert strategy == "exact, search limit reached"


def test_depth_first_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    _compiled.cache_clear()
    with pytest.raises(EdgewrightError, match="needs a C compiler, and none is at hand"):
        fit(instance(0, 5, 5), 400, depth_first)


def test_the_optimum_of_a_published_instance_is_proved_in_numpy_alone(shared_bench: Path) -> None:
    buffers = published(shared_bench, "C")
    found = allocate(buffers)
    offsets, strategy = found.offsets, found.strategy
    assert_disjoint(buffers, offsets)
    assert height(buffers, offsets) == lower_bound(buffers) == 1_039_360
    assert strategy == "exact, optimal"


@pytest.mark.parametrize("name", ["A", "D", "J", *(pytest.param(name, marks=pytest.mark.slow) for name in "BCEFGHIK")])
def test_published_instances_fit_their_capacity(shared_bench: Path, name: str) -> None:
    buffers = published(shared_bench, name)
    answer, offsets = fit(buffers, CAPACITY, depth_first)
    assert answer is Answer.FOUND
    assert_disjoint(buffers, offsets)
    assert height(buffers, offsets) <= CAPACITY
