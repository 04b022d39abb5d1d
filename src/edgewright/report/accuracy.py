"""How a network answers before and after: accuracy where labels are known, agreement with the original everywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from edgewright.data import Data
from edgewright.evaluation.metrics import METRICS, answers
from edgewright.evaluation.outputs import classifies, regresses, scores_of
from edgewright.evaluation.outputs import real_outputs as real_outputs
from edgewright.evaluation.outputs import signal_to_noise_db as signal_to_noise_db
from edgewright.evaluation.significance import judge
from edgewright.ir.graph import Graph


class Change(BaseModel, frozen=True):
    """The change of the accuracy, shares of 1: 95 % interval, samples lost and gained, McNemar's mid-p, and what follows from them.

    ``more_samples``: how many more would tell, where nothing follows.
    """

    decision: str
    interval: tuple[float, float]
    lost: int
    gained: int
    p: float
    more_samples: int | None
    text: str


class Accuracy(BaseModel, frozen=True):
    """Figures over one set of samples; the first output decides.

    ``samples_from``: "test" data, or the "calibration" data that the ranges were chosen on. ``accuracy_before`` and ``accuracy_after``:
    shares of 1, with labels only, and so is ``change``. ``agreement``: the share of samples with the same answer (argmax), classifiers
    only. ``error_before``, ``error_after`` and ``r2_before``, ``r2_after``: mean absolute error and R², with targets only (a
    regression has no answers to agree). ``signal_to_noise_db``: the original's output against the difference; None where they are equal.
    """

    samples: int
    samples_from: str
    accuracy_before: float | None
    accuracy_after: float | None
    agreement: float | None
    signal_to_noise_db: float | None
    change: Change | None = None
    error_before: float | None = None
    error_after: float | None = None
    r2_before: float | None = None
    r2_after: float | None = None


def compare(before: Graph, after: Graph, data: Data, *, samples_from: str = "test") -> Accuracy:
    """Evaluate both graphs on ``data``."""
    first, second = real_outputs(before, data)[0], real_outputs(after, data)[0]
    second = second.reshape(first.shape)
    regression = regresses(data, first)
    pair = [scores_of(array, data.count) if classifies(before) and not regression else None for array in (first, second)]
    chosen = [None if scores is None else answers(scores) for scores in pair]
    right = [None if found is None or data.labels is None else found == data.labels for found in chosen]
    same = None if chosen[0] is None or chosen[1] is None else float(np.mean(chosen[0] == chosen[1]))
    return Accuracy(
        samples=data.count,
        samples_from=samples_from,
        accuracy_before=None if right[0] is None else float(np.mean(right[0])),
        accuracy_after=None if right[1] is None else float(np.mean(right[1])),
        agreement=same,
        signal_to_noise_db=signal_to_noise_db(first, second),
        change=None if right[0] is None or right[1] is None else change_of(right[0], right[1]),
        **(_errors(first, second, data.reals) if regression and data.reals is not None else {}),
    )


def _errors(before: NDArray[np.float32], after: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, float | None]:
    """Mean absolute errors and R²; None where R² is undefined, as of one sample."""
    figures = {
        f"{name}_{when}": METRICS[metric].of(outputs, targets)
        for name, metric in (("error", "mae"), ("r2", "r2")) for when, outputs in (("before", before), ("after", after))
    }  # fmt: skip
    return {name: figure if np.isfinite(figure) else None for name, figure in figures.items()}


def change_of(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Change:
    """The verdict on samples that are right or wrong before and after."""
    found = judge(before, after)
    return Change(
        decision=found.decision,
        interval=found.interval,
        lost=found.lost,
        gained=found.gained,
        p=found.p,
        more_samples=found.more,
        text=found.text,
    )
