"""One choice for each of several items: every selection that no other beats in both cost and loss.

The multiple-choice knapsack problem with all its budgets at once, by Nemhauser and Ullmann's list of undominated states (1969): exact as
long as the list stays short enough, with a bounded excess of cost beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_STATES = 100_000


@dataclass(frozen=True)
class Selection:
    """``picks``: which choice of each item; ``cost`` and ``loss`` are the sums over them."""

    cost: float
    loss: float
    picks: tuple[int, ...]


def pareto_front(items: Sequence[Sequence[tuple[float, float]]], most_states: int = MOST_STATES) -> list[Selection]:
    """The undominated selections, cheapest first; ``items`` gives the choices of each item as (cost, loss).

    Where more than ``most_states`` partial selections are undominated, they are thinned to that many steps of cost: a selection may then
    cost up to (number of items) / ``most_states`` of the greatest cost more than the best one of its loss.
    """
    cost, loss = np.zeros(1), np.zeros(1)
    trail: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for choices in items:
        prices, losses = (np.asarray([choice[side] for choice in choices], np.float64) for side in (0, 1))
        sums, harms = (cost[:, None] + prices).reshape(-1), (loss[:, None] + losses).reshape(-1)
        kept = _undominated(sums, harms)
        if len(kept) > most_states:
            kept = _thinned(kept, sums, most_states)
        cost, loss = sums[kept], harms[kept]
        trail.append((kept // len(choices), kept % len(choices)))
    return [Selection(float(cost[index]), float(loss[index]), _picks(trail, index)) for index in range(len(cost))]


def _undominated(cost: NDArray[np.float64], loss: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices, by rising cost, of the states that lose less than every cheaper one."""
    order = np.lexsort((loss, cost))
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
