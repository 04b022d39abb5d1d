"""The remedy applied: the float network quantized anew, and how much of the loss that brings back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.data import Data
from edgewright.diagnosis.diagnose import Diagnosis, Health, health_of, recipe_of
from edgewright.diagnosis.finding import Finding
from edgewright.errors import DataError
from edgewright.ir.graph import Graph
from edgewright.recipe import Recipe

ENOUGH = 0.8
"""Share of the loss that one remedy must bring back; else that of the next cause is added to it."""
MOST_CAUSES = 3
LEAST_LOSS = 0.01
"""Of the accuracy; below, the agreement with the float network is what is brought back."""
Quantize = Callable[[Graph, Recipe, Data], Graph]
"""Called as quantize(float graph, recipe, calibration data); gives the integer graph."""


@dataclass(frozen=True, eq=False)
class Remedy:
    """``graph``: the network by ``recipe``, calibrated on one half of the samples; the rest is measured on the other half.

    ``recovered``: share of what was lost in ``figure`` ("accuracy", "agreement" or "signal to noise") that came back.
    """

    recipe: Recipe
    causes: tuple[str, ...]
    graph: Graph
    before: Health
    after: Health
    figure: str
    recovered: float


def halves(data: Data, seed: int = 0) -> tuple[Data, Data]:
    """Two halves of ``data``, drawn at random. DataError where there are fewer than 20 samples."""
    if data.count < 20:
        raise DataError(
            f"{data.count} samples are too few to mend a network and to judge it", hint="give at least 20, better some hundreds"
        )
    order = np.random.default_rng(seed).permutation(data.count)
    return data.take(np.sort(order[: data.count // 2])), data.take(np.sort(order[data.count // 2 :]))


def apply_remedy(floating: Graph, quantized: Graph, diagnosis: Diagnosis, data: Data, quantize: Quantize, seed: int = 0) -> Remedy:
    """Quantize ``floating`` with the remedy of the first cause, and of the next ones as long as too little comes back."""
    calibration, judges = halves(data, seed)
    before = health_of(floating, quantized, judges)
    best: Remedy | None = None
    for count in range(1, max(1, min(MOST_CAUSES, len(diagnosis.findings))) + 1):
        chosen: Sequence[Finding] = diagnosis.findings[:count]
        recipe = recipe_of(diagnosis.case.pair, chosen)
        graph = quantize(floating, recipe, calibration)
        after = health_of(floating, graph, judges)
        figure, recovered = _recovered(before, after)
        if best is None or recovered > best.recovered:
            best = Remedy(recipe, tuple(finding.cause for finding in chosen), graph, before, after, figure, recovered)
        if recovered >= ENOUGH:
            break
    assert best is not None
    return best


def _recovered(before: Health, after: Health) -> tuple[str, float]:
    if before.accuracy_before is not None and before.accuracy_after is not None and after.accuracy_after is not None:
        loss = before.accuracy_before - before.accuracy_after
        if loss >= LEAST_LOSS:
            return "accuracy", (after.accuracy_after - before.accuracy_after) / loss
    if before.agreement is not None and after.agreement is not None and before.agreement < 1:
        return "agreement", (after.agreement - before.agreement) / (1 - before.agreement)
    first, second = (10 ** (-(ratio if ratio is not None else 200) / 10) for ratio in (before.signal_to_noise_db, after.signal_to_noise_db))
    return "signal to noise", 1 - second / first
