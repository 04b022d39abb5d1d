"""The report of `edgewright evaluate`: figures of several networks on the same samples, and what their differences are worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel

from edgewright.data import Data
from edgewright.errors import DataError
from edgewright.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from edgewright.evaluation.metrics import Metric, answers, confusion, per_class
from edgewright.evaluation.outputs import Reals, classifies, real_outputs, scores_of
from edgewright.evaluation.significance import bootstrap_interval, judge, mean_interval
from edgewright.evaluation.slices import slices
from edgewright.ir.graph import Graph

RESAMPLES = 500
"""For metrics that are no mean of samples: each resample computes them anew."""


class Figure(BaseModel, frozen=True):
    """One metric of one network. ``interval``: 95 % of ``change``, which is against the first network; None for the first.

    ``verdict``: for accuracy alone, by McNemar's test and the score interval; ``p`` is the test's.
    """

    metric: str
    value: float | None
    change: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    verdict: str = ""


class Part(BaseModel, frozen=True):
    """A class or a group: the first metric of the first network and of this one over its samples."""

    name: str
    samples: int
    before: float
    after: float
    interval: tuple[float, float] | None


class ClassRow(BaseModel, frozen=True):
    """One class; shares of 1."""

    index: int
    samples: int
    precision: float
    recall: float
    f1: float


class Scenario(BaseModel, frozen=True):
    """The first metric under one corruption, by severity 1 to 5; ``clean`` without."""

    name: str
    clean: float
    figures: list[float]
    worst_loss_against_first: float | None = None


class Answers(BaseModel, frozen=True):
    """One network on the data. ``classes``, ``groups``: worst first. ``confusion``: row the label, column the answer."""

    model: str
    level: str
    figures: list[Figure]
    classes: list[Part] = []
    groups: list[Part] = []
    per_class: list[ClassRow] = []
    confusion: list[list[int]] = []
    scenarios: list[Scenario] = []


class Runtime(BaseModel, frozen=True):
    """One network in one runtime. ``same_answer``: share of samples that are answered as by the first network.

    ``figure``: the first metric. ``unequal`` of ``outputs`` integers differ from the device's, by at most ``most_steps``; None where the
    network's outputs are no integers. ``note``: why there is nothing, or what the runtime said.
    """

    model: str
    runtime: str
    samples: int
    figure: float | None = None
    same_answer: float | None = None
    outputs: int | None = None
    unequal: int | None = None
    most_steps: int | None = None
    note: str = ""


class Evaluation(BaseModel, frozen=True):
    """Everything that `edgewright evaluate` found. The first network is what the others are compared with."""

    samples: int
    source: str
    grouped: bool
    metrics: list[str]
    models: list[Answers]
    runtimes: list[Runtime] = []
    kind: str = ""
    folds: dict[str, list[float]] = {}


def evaluate_models(
    graphs: Sequence[Graph], names: Sequence[str], data: Data, metrics: Sequence[Metric], *, tolerance: float, kind: str = "", seed: int = 0
) -> list[Answers]:
    """Figures, verdicts, worst classes and groups of ``graphs`` on ``data``; with ``kind`` of corruption also all its scenarios."""
    outputs = [_first_output(graph, data) for graph in graphs]
    found: list[Answers] = []
    for graph, name, mine in zip(graphs, names, outputs, strict=True):
        first = None if not found else outputs[0]
        if first is not None and first.shape[0] == mine.shape[0] and first.size != mine.size:
            raise DataError(f"{name} gives {mine.shape[1:]} a sample, {names[0]} {first.shape[1:]}", hint="compare networks of one task")
        scenarios = _scenarios(graph, data, metrics[0], kind, seed, found[0].scenarios if found else []) if kind and metrics else []
        classes, groups = _parts(metrics, outputs[0], mine, data)
        labelled = data.labels is not None and scores_of(mine, data.count) is not None and classifies(graph)
        found.append(
            Answers(
                model=name,
                level=graph.level.value,
                figures=[_figure(metric, first, mine, data, tolerance, seed) for metric in metrics],
                classes=classes,
                groups=groups,
                per_class=[ClassRow(**vars(row)) for row in per_class(mine, data.labels)] if labelled and data.labels is not None else [],
                confusion=confusion(mine, data.labels).tolist() if labelled and data.labels is not None else [],
                scenarios=scenarios,
            )
        )
    return found


def _first_output(graph: Graph, data: Data) -> Reals:
    output = real_outputs(graph, data)[0]
    if len(output) != data.count:
        raise DataError(
            f"{graph.name!r} gives {len(output)} answers for {data.count} samples", hint="axis 0 of its first output counts them"
        )
    return output


def _figure(metric: Metric, first: Reals | None, mine: Reals, data: Data, tolerance: float, seed: int) -> Figure:
    truth = metric.truth_of(data)
    value = metric.of(mine, truth)
    known = value if np.isfinite(value) else None
    if first is None or known is None:
        return Figure(metric=metric.name, value=known)
    change = value - metric.of(first, truth)
    if metric.of_each is not None:
        pair = [metric.of_each(outputs, truth) for outputs in (first, mine)]
        if metric.truth == "labels" and data.groups is None:
            verdict = judge(pair[0] > 0, pair[1] > 0, tolerance)
            return Figure(metric=metric.name, value=value, change=change, interval=verdict.interval, p=verdict.p, verdict=verdict.text)
        interval = mean_interval(pair[1] - pair[0], groups=data.groups, seed=seed)
    else:

        def difference(index: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
            return metric.of(mine[index], truth[index]) - metric.of(first[index], truth[index])

        interval = bootstrap_interval(difference, data.count, groups=data.groups, resamples=RESAMPLES, seed=seed)
    return Figure(metric=metric.name, value=value, change=change, interval=interval, verdict=_verdict(metric, interval, tolerance))


def _verdict(metric: Metric, interval: tuple[float, float], tolerance: float) -> str:
    """What a resampled interval says; for a metric whose scale is not a share of 1 the tolerance means nothing, so it says less."""
    if interval[0] == interval[1]:
        return "no difference in any resample"
    low, high = interval if metric.higher_is_better else (-interval[1], -interval[0])
    if high < 0:
        return "significant loss at 95 %"
    if low > 0:
        return "significant gain at 95 %"
    if metric.truth == "labels" and -low <= tolerance:
        return f"no significant loss at 95 % (at most {100 * max(0.0, -low):.2f} points)"
    return "no significant change at 95 %" if metric.truth != "labels" else "undecided: more samples or groups would tell"


def _parts(metrics: Sequence[Metric], first: Reals, mine: Reals, data: Data) -> tuple[list[Part], list[Part]]:
    if not metrics:
        return [], []
    metric = metrics[0]
    truth = metric.truth_of(data)
    found = []
    for by in (data.labels if metric.truth == "labels" else None, data.groups):
        rows = [] if by is None else slices(metric, first, mine, np.asarray(truth), by)
        found.append([Part(name=row.name, samples=row.samples, before=row.before, after=row.after, interval=row.interval) for row in rows])
    return found[0], found[1]


def _scenarios(graph: Graph, data: Data, metric: Metric, kind: str, seed: int, reference: Sequence[Scenario]) -> list[Scenario]:
    truth = metric.truth_of(data)
    clean = metric.of(_first_output(graph, data), truth)
    found = []
    for index, name in enumerate(CORRUPTIONS[kind]):
        figures = [metric.of(_first_output(graph, corrupt(data, kind, name, severity, seed)), truth) for severity in SEVERITIES]
        sign = 1 if metric.higher_is_better else -1
        worst = None
        if reference:
            worst = max(sign * (theirs - mine) for theirs, mine in zip(reference[index].figures, figures, strict=True))
        found.append(Scenario(name=name, clean=clean, figures=figures, worst_loss_against_first=worst))
    return found


def agreement(
    model: str,
    runtime: str,
    outputs: Reals,
    device: Reals | None,
    reference: Reals,
    data: Data,
    metrics: Sequence[Metric],
    step: float | None,
) -> Runtime:
    """The row of one runtime. ``outputs``: its real numbers for the first samples of ``data``; ``device``: those of the integer evaluation.

    ``step``: the scale of the network's integer output. ``reference``: the first network's outputs.
    """
    count = len(outputs)
    few = data.take(slice(0, count))
    both = [scores_of(array, count) for array in (outputs, reference[:count])]
    same = None if both[0] is None or both[1] is None else float(np.mean(answers(both[0]) == answers(both[1])))
    figure = metrics[0].of(outputs, metrics[0].truth_of(few)) if metrics else float("nan")
    steps = None
    if device is not None and step is not None:
        steps = np.rint(np.abs(outputs.astype(np.float64) - device[:count].reshape(outputs.shape)) / step)
    return Runtime(
        model=model,
        runtime=runtime,
        samples=count,
        figure=figure if np.isfinite(figure) else None,
        same_answer=same,
        outputs=None if steps is None else int(steps.size),
        unequal=None if steps is None else int(np.count_nonzero(steps)),
        most_steps=None if steps is None else int(steps.max(initial=0)),
    )


def worst_confusions(rows: Sequence[Sequence[int]], most: int = 5) -> list[tuple[int, int, int]]:
    """(label, answer, samples) of the most frequent mistakes."""
    table = np.asarray(rows, np.int64).copy()
    if not table.size:
        return []
    np.fill_diagonal(table, 0)
    order = np.argsort(-table, axis=None, kind="stable")[:most]
    return [(int(i // len(table)), int(i % len(table)), int(table.flat[i])) for i in order if table.flat[i]]
