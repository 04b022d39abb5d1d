"""One choice for each of several items: every selection that no other beats in both cost and loss.

The multiple-choice knapsack problem with all its budgets at once, by Nemhauser and Ullmann's list of undominated states (1969): exact as
long as the list stays short enough, with a bounded excess of cost beyond. A second cost, the load, may have a limit. It is counted in
steps, each choice's rounded up: what is found keeps the limit, and is the best of what keeps it with a step to spare for each item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_STATES = 100_000
LOAD_STEPS = 250


@dataclass(frozen=True)
class Selection:
    """``picks``: which choice of each item; ``cost`` and ``loss`` are the sums over them."""

    cost: float
    loss: float
    picks: tuple[int, ...]


def pareto_front(
    items: Sequence[Sequence[tuple[float, float]]],
    most_states: int = MOST_STATES,
    *,
    loads: Sequence[Sequence[float]] | None = None,
    most_load: float = 0.0,
) -> list[Selection]:
    """The undominated selections, cheapest first; ``items`` gives the choices of each item as (cost, loss).

    ``loads``: the load of each choice, whose sum stays within ``most_load``; no selection may be left then.
    Where more than ``most_states`` partial selections are undominated, they are thinned to that many steps of cost: a selection may then
    cost up to (number of items) / ``most_states`` of the greatest cost more than the best one of its loss.
    """
    cost, loss, load = np.zeros(1), np.zeros(1), np.zeros(1, np.int64)
    trail: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    steps = _steps(loads or [[0.0] * len(choices) for choices in items], most_load)
    for choices, rises in zip(items, steps, strict=True):
        prices, losses = (np.asarray([choice[side] for choice in choices], np.float64) for side in (0, 1))
        sums, harms = (cost[:, None] + prices).reshape(-1), (loss[:, None] + losses).reshape(-1)
        levels = (load[:, None] + rises).reshape(-1)
        kept = _undominated_by_level(sums, harms, levels, most_states)
        cost, loss, load = sums[kept], harms[kept], levels[kept]
        trail.append((kept // len(choices), kept % len(choices)))
    return [Selection(float(cost[index]), float(loss[index]), _picks(trail, index)) for index in _undominated(cost, loss)]


def _steps(loads: Sequence[Sequence[float]], most: float) -> list[NDArray[np.int64]]:
    """Loads as whole steps of ``most`` / LOAD_STEPS above each item's least, which all selections have; none where all loads are 0."""
    rows = [np.asarray(row, np.float64) for row in loads]
    least = sum(float(row.min()) for row in rows)
    room = most - least
    if not any(row.any() for row in rows):
        return [np.zeros(len(row), np.int64) for row in rows]
    if room < 0:
        return [np.full(len(row), LOAD_STEPS + 1) for row in rows]
    # A choice that alone leaves the room must not overflow; a hair of rounding noise must not take a step.
    return [np.minimum(np.ceil((row - row.min()) / max(room, 1e-300) * LOAD_STEPS - 1e-9), LOAD_STEPS + 1).astype(np.int64) for row in rows]


def _undominated_by_level(
    cost: NDArray[np.float64], loss: NDArray[np.float64], level: NDArray[np.int64], most_states: int
) -> NDArray[np.int64]:
    """Indices of the states within LOAD_STEPS that no other beats in cost, loss and level, thinned to ``most_states``."""
    kept: list[NDArray[np.int64]] = []
    front = np.zeros(0, np.int64)
    levels = np.unique(level[level <= LOAD_STEPS])
    for step in levels:
        both = np.concatenate([front, np.flatnonzero(level == step)])
        survivors = _undominated(cost[both], loss[both])
        here, front = both[survivors[survivors >= len(front)]], both[survivors]
        most = max(1, most_states // len(levels))
        kept.append(_thinned(here, cost, most) if len(here) > most else here)
    return np.concatenate([front[:0], *kept])


def _undominated(cost: NDArray[np.float64], loss: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices, by rising cost, of the states that lose less than every cheaper one."""
    order = np.lexsort((loss, cost))
    if not len(order):
        return order
    best = np.minimum.accumulate(loss[order])
    return np.asarray(order[np.concatenate([[True], best[1:] < best[:-1]])], np.int64)


def _thinned(kept: NDArray[np.int64], cost: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Of ``kept``, which lie by rising cost and falling loss, the last in each of ``most`` steps of cost."""
    costs = cost[kept]
    step = np.minimum(((costs - costs[0]) / (costs[-1] - costs[0]) * most).astype(np.int64), most - 1)
    return np.asarray(kept[np.concatenate([step[1:] != step[:-1], [True]])], np.int64)


def _picks(trail: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], index: int) -> tuple[int, ...]:
    picks = []
    for before, choice in reversed(trail):
        picks.append(int(choice[index]))
        index = int(before[index])
    return tuple(reversed(picks))
