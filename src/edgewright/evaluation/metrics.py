"""Figures of merit, by name or as the user's own function. What they compute, scikit-learn computes."""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as learn

from edgewright.data import Data
from edgewright.errors import DataError, EdgewrightError, RecipeError

Reals = NDArray[np.float32]
Classes = NDArray[np.int64]
Score = Callable[[Reals, Any], float]
"""Called as score(outputs, truth), the batch at axis 0 of both: outputs as the network gives them, truth as the data has it."""


@dataclass(frozen=True)
class Metric:
    """One figure. ``truth``: what of the data it is compared with. ``higher_is_better``: for the sign of a loss.

    ``of_each``: the figure of every sample, where the whole is their mean (so that pairs can be compared).
    """

    name: str
    score: Score
    truth: str = "labels"
    higher_is_better: bool = True
    of_each: Callable[[Reals, Any], NDArray[np.float64]] | None = None

    def truth_of(self, data: Data) -> Any:
        """The labels or targets of ``data``; DataError where it has none."""
        found: Any = data.reals if self.truth == "targets" else data.labels
        if self.truth == "any":
            found = data.labels if data.labels is not None else data.targets
        if found is None and self.truth == "targets" and data.targets is not None:
            raise DataError(f"the targets of {data.source or 'the data'} are text, metric {self.name!r} compares numbers",
                            hint="give a metric of your own that reads them, as module:function")  # fmt: skip
        if found is None:
            what = "labels" if self.truth != "targets" else "targets"
            raise DataError(
                f"{data.source or 'the data'} has no {what}, which metric {self.name!r} needs",
                hint=f"add an array `{what}` to the .npz file, one entry a sample",
            )
        return found

    def of(self, outputs: Reals, truth: Any) -> float:
        """The figure; NaN where it is undefined (one class alone has no AUROC)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(self.score(outputs, truth))


def scores(outputs: Reals) -> Reals:
    """(N, classes); a single score s of two classes becomes (1 - s, s), or (-s, s) where it is no probability."""
    flat = outputs.reshape(len(outputs), -1)
    if flat.shape[1] > 1:
        return flat
    inside = bool(flat.size and flat.min() >= 0 and flat.max() <= 1)
    return np.concatenate([1 - flat if inside else -flat, flat], axis=1)


def probabilities(outputs: Reals) -> NDArray[np.float64]:
    """Scores as shares of 1: themselves where they lie within 0 and 1, else their softmax."""
    found = scores(outputs).astype(np.float64)
    if found.size and (found.min() < 0 or found.max() > 1):
        found = np.exp(found - found.max(axis=1, keepdims=True))
        found /= found.sum(axis=1, keepdims=True)
    return found


def answers(outputs: Reals) -> Classes:
    """The class with the highest score, the first of equals."""
    return np.asarray(scores(outputs).argmax(axis=1), np.int64)


def right_of_each(outputs: Reals, labels: Classes, k: int = 1) -> NDArray[np.float64]:
    """1 where the label is among the ``k`` highest scores; among equals the lower class comes first."""
    order = np.argsort(-scores(outputs), axis=1, kind="stable")[:, :k]
    return np.asarray((order == labels[:, None]).any(axis=1), np.float64)


def confusion(outputs: Reals, labels: Classes) -> NDArray[np.int64]:
    """(classes, classes): row the label, column the answer."""
    classes = scores(outputs).shape[1]
    return np.asarray(learn.confusion_matrix(labels, answers(outputs), labels=np.arange(classes)), np.int64)


@dataclass(frozen=True)
class ClassFigures:
    """One class: shares of 1. ``samples``: those that bear its label."""

    index: int
    samples: int
    precision: float
    recall: float
    f1: float


def per_class(outputs: Reals, labels: Classes) -> list[ClassFigures]:
    """Precision, recall and F1 of every class; 0 where nothing was answered."""
    classes = np.arange(scores(outputs).shape[1])
    table = learn.precision_recall_fscore_support(labels, answers(outputs), labels=classes, zero_division=0)
    return [
        ClassFigures(index, int(count), float(p), float(r), float(f)) for index, (p, r, f, count) in enumerate(zip(*table, strict=True))
    ]


def _macro(position: int) -> Score:
    def score(outputs: Reals, labels: Classes) -> float:
        table = learn.precision_recall_fscore_support(labels, answers(outputs), average="macro", zero_division=0)
        return float(table[position])

    return score


def _one_against_rest(function: Callable[..., float]) -> Score:
    """The mean over the classes that have samples inside and outside."""

    def score(outputs: Reals, labels: Classes) -> float:
        shares = probabilities(outputs)
        found = []
        for index in range(shares.shape[1]):
            inside = labels == index
            if inside.any() and not inside.all():
                found.append(float(function(inside, shares[:, index])))
        return float(np.mean(found)) if found else float("nan")

    return score


def _flat(outputs: Reals, targets: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = outputs.reshape(len(outputs), -1).astype(np.float64), np.asarray(targets, np.float64).reshape(len(targets), -1)
    if first.shape != second.shape:
        raise DataError(
            f"targets have {second.shape[1]} numbers a sample, the network gives {first.shape[1]}",
            hint="targets have the shape of the network's first output",
        )
    return first, second


def _absolute(outputs: Reals, targets: NDArray[np.floating]) -> NDArray[np.float64]:
    first, second = _flat(outputs, targets)
    return np.asarray(np.abs(first - second).mean(axis=1))


def _accuracy(outputs: Reals, labels: Classes) -> float:
    return float(right_of_each(outputs, labels).mean())


def _rmse(outputs: Reals, targets: NDArray[np.floating]) -> float:
    return float(np.sqrt(learn.mean_squared_error(*reversed(_flat(outputs, targets)))))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", _accuracy, of_each=right_of_each),
        Metric("precision", _macro(0)),
        Metric("recall", _macro(1)),
        Metric("f1", _macro(2)),
        Metric("auroc", _one_against_rest(learn.roc_auc_score)),
        Metric("average_precision", _one_against_rest(learn.average_precision_score)),
        Metric("mae", lambda o, t: float(_absolute(o, t).mean()), "targets", False, _absolute),
        Metric("rmse", _rmse, "targets", False),
        Metric("r2", lambda o, t: float(learn.r2_score(*reversed(_flat(o, t)))), "targets"),
    )
}
"""By name; ``top-K`` for any K stands beside them. Precision, recall and F1 are macro averages, AUROC and average precision one class
against the rest, averaged over classes."""


def find_metric(name: str) -> Metric:
    """The metric called ``name``; ``module:function`` names the user's own. RecipeError where there is none."""
    if name in METRICS:
        return METRICS[name]
    if match := re.fullmatch(r"top-?([1-9]\d{0,3})", name):
        return top(int(match[1]))
    if ":" in name:
        return _own(name)
    close = difflib.get_close_matches(name, METRICS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(METRICS)}, top-K, or module:function"
    raise RecipeError(f"there is no metric {name!r}", hint=hint)


def top(k: int) -> Metric:
    """The share of samples whose label is among the ``k`` highest scores."""
    return Metric(f"top-{k}", lambda o, t: float(right_of_each(o, t, k).mean()), of_each=lambda o, t: right_of_each(o, t, k))


def default_metrics(data: Data) -> list[Metric]:
    """What is measured where nobody asks for anything: by what the data has."""
    names = ["accuracy", "f1"] if data.labels is not None else ["mae", "r2"] if data.reals is not None else []
    return [METRICS[name] for name in names]


def _own(name: str) -> Metric:
    module, _, function_name = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        function = getattr(importlib.import_module(module), function_name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        hint = "give module:function, importable from the current folder or PYTHONPATH"
        raise RecipeError(f"there is no metric {name!r}: {error}", hint=hint) from error

    def score(outputs: Reals, truth: Any) -> float:
        try:
            return float(function(outputs, truth))
        except EdgewrightError:
            raise
        except Exception as error:
            raise DataError(
                f"metric {name} failed: {type(error).__name__}: {error}",
                hint="it is called as function(outputs, truth) and gives one number, more of which is better",
            ) from error

    return Metric(name, score, "any")
