"""Cross-validation: parts of the data that are judged by what was made from the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from edgewright.data import Data
from edgewright.errors import DataError
from edgewright.evaluation.metrics import Metric
from edgewright.evaluation.outputs import real_outputs
from edgewright.ir.graph import Graph

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class CrossValidation:
    """The figure on each held-out fold; ``spread`` is their standard deviation."""

    metric: str
    figures: tuple[float, ...]
    grouped: bool

    @property
    def mean(self) -> float:
        return float(np.mean(self.figures))

    @property
    def spread(self) -> float:
        return float(np.std(self.figures, ddof=1))


def folds(data: Data, count: int = 5, seed: int = 0) -> Iterator[tuple[Indices, Indices]]:
    """(kept, held out) indices of each fold.

    Groups (a user, a recording) are never torn apart where the data has them, and classes are spread evenly where it has labels.
    DataError where there are fewer samples, or groups, than folds.
    """
    units = data.count if data.groups is None else len(np.unique(data.groups))
    if not 2 <= count <= units:
        what = "samples" if data.groups is None else "groups"
        raise DataError(f"{count} folds of {units} {what}", hint=f"from 2 folds to as many as there are {what}")
    labels, groups = data.labels, data.groups
    rarest = 0 if labels is None else int(np.bincount(np.unique(labels, return_inverse=True)[1]).min())
    if groups is not None:
        maker = GroupKFold(count) if labels is None else StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    else:
        maker = KFold(count, shuffle=True, random_state=seed) if rarest < count else StratifiedKFold(count, shuffle=True, random_state=seed)
    places = np.zeros(data.count)
    for kept, held in maker.split(places, labels, groups):
        yield np.asarray(kept, np.int64), np.asarray(held, np.int64)


def cross_validate(make: Callable[[Data], Graph], data: Data, metric: Metric, *, count: int = 5, seed: int = 0) -> CrossValidation:
    """``make`` a network from each fold's other samples (train it, or calibrate it), and judge it on the fold."""
    found = []
    for kept, held in folds(data, count, seed):
        judges = data.take(held)
        found.append(metric.of(real_outputs(make(data.take(kept)), judges)[0], metric.truth_of(judges)))
    return CrossValidation(metric.name, tuple(found), data.groups is not None)
