"""`edgewright evaluate`: figures with intervals, verdicts, worst cases, and whether all runtimes agree."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from edgewright import pipeline
from edgewright.data import Data, load_data
from edgewright.errors import DataError, EdgewrightError, RecipeError
from edgewright.evaluation.corruptions import CORRUPTIONS, kind_of
from edgewright.evaluation.folds import cross_validate
from edgewright.evaluation.metrics import Metric, default_metrics, find_metric
from edgewright.evaluation.outputs import Reals, real_outputs, simulated
from edgewright.ir.graph import Graph, Level
from edgewright.recipe import load_recipe
from edgewright.report.evaluation import Evaluation, Runtime, agreement, evaluate_models
from edgewright.report.evaluation_text import evaluation_text
from edgewright.targets.target import Target, load_target
from edgewright.verbs.result import Result
from edgewright.verbs.runtimes import RUNTIMES, run_in

DEVICE_SAMPLES = 32
"""Samples that run on an emulated device, which is slow."""
FLOAT_RUNTIMES = ("evaluate", "litert", "onnxruntime")
TITLES = {
    "evaluate": "evaluation",
    "host": "C on the host",
    "litert": "LiteRT reference",
    "xnnpack": "XNNPACK",
    "tflm": "TFLM",
    "onnxruntime": "ONNX Runtime",
}


def evaluate(
    models: Sequence[str],
    *,
    data: str,
    metrics: Sequence[str] = (),
    groups: str | None = None,
    corruptions: str | None = None,
    runtimes: str | None = None,
    target: str = "cortex-m4",
    tolerance: float = 0.01,
    folds: int = 0,
    recipe: str = "w8a8",
    seed: int = 0,
) -> Result:
    """Everything on the same samples; the first of ``models`` is what the others are compared with.

    ``folds``: the first network is also quantized by ``recipe`` on each fold's other samples, and judged on the fold.
    """
    if not 0 < tolerance < 1:
        raise RecipeError(f"--tolerance is a share of 1, got {tolerance}", hint="0.01 is one percentage point")
    graphs = [pipeline.load(model) for model in models]
    samples = _samples(data, graphs, groups)
    chosen = [find_metric(name) for name in metrics] or default_metrics(samples)
    for metric in chosen:
        metric.truth_of(samples)
    kind = _kind(corruptions, samples)
    wanted = _runtimes(runtimes, graphs)
    board = load_target(target)
    names = [os.path.basename(model) for model in models]
    names = names if len({*names}) == len(names) else list(models)
    found = evaluate_models(graphs, names, samples, chosen, tolerance=tolerance, kind=kind, seed=seed)
    report = Evaluation(
        samples=samples.count,
        source=samples.source,
        grouped=samples.groups is not None,
        metrics=[metric.name for metric in chosen],
        models=found,
        runtimes=_agreement(graphs, names, samples, chosen, wanted, board),
        kind=kind,
        folds=_folds(graphs[0], samples, chosen, folds, recipe, seed),
    )
    return Result(report.model_dump(mode="json"), evaluation_text(report))


def _samples(data: str, graphs: Sequence[Graph], groups: str | None) -> Data:
    samples = load_data(data, graphs[0])
    for graph in graphs[1:]:
        load_data(samples, graph)
    if groups is None:
        return samples
    if not os.path.isfile(groups) or not groups.endswith(".npy"):
        raise DataError(f"--groups {groups} is no .npy file", hint="one entry a sample; or put an array `groups` into the .npz of the data")
    try:
        array = np.load(groups, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {groups}: {error}", hint="it must be an array saved by numpy.save, without objects") from error
    return load_data(Data(samples.inputs, samples.labels, samples.source, samples.targets, array), graphs[0])


def _kind(corruptions: str | None, samples: Data) -> str:
    if corruptions is None:
        return ""
    if corruptions not in ("auto", *CORRUPTIONS):
        raise RecipeError(f"unknown kind of corruptions {corruptions!r}", hint=f"auto, {', '.join(CORRUPTIONS)}")
    return kind_of(samples) if corruptions == "auto" else corruptions


def _runtimes(runtimes: str | None, graphs: Sequence[Graph]) -> list[str]:
    if runtimes is None:
        return []
    known = ("simulated", *RUNTIMES)
    names = list(known) if runtimes == "all" else [name.strip() for name in runtimes.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise RecipeError(f"unknown runtime {name!r}", hint=f"all, or some of {', '.join(known)} with commas")
    return names


def _agreement(
    graphs: Sequence[Graph], names: Sequence[str], samples: Data, metrics: Sequence[Metric], wanted: Sequence[str], board: Target
) -> list[Runtime]:
    """A row for each network and runtime; one that cannot run it says why."""
    if not wanted:
        return []
    rows: list[Runtime] = []
    reference = real_outputs(graphs[0], samples)[0]
    for graph, name in zip(graphs, names, strict=True):
        integer = graph.level is Level.INTEGER
        quant = graph.value(graph.outputs[0]).quant
        device = real_outputs(graph, samples)[0] if integer else None
        for runtime in wanted:
            if not integer and runtime not in FLOAT_RUNTIMES:
                continue
            try:
                outputs = _outputs(graph, runtime, samples, board)
            except EdgewrightError as error:
                rows.append(Runtime(model=name, runtime=_named(runtime, board), samples=0, note=error.message))
                continue
            step = None if quant is None or runtime == "simulated" else quant.scale[0]
            rows.append(agreement(name, _named(runtime, board), outputs, device, reference, samples, metrics, step))
    return rows


def _named(runtime: str, board: Target) -> str:
    """What a row calls it."""
    return f"C on {board.name}" if runtime == "qemu" else TITLES.get(runtime, runtime)


def _outputs(graph: Graph, runtime: str, samples: Data, board: Target) -> Reals:
    if runtime == "simulated":
        return real_outputs(simulated(graph), samples)[0]
    few = samples.take(slice(0, DEVICE_SAMPLES)) if runtime == "qemu" else samples
    outputs, _ = run_in(graph, list(few.inputs), runtime, load_target("host") if runtime == "host" else board)
    return np.asarray(outputs[0], np.float32)


def _folds(graph: Graph, samples: Data, metrics: Sequence[Metric], count: int, recipe: str, seed: int) -> dict[str, list[float]]:
    """The first metric of the first network as it is on each fold, and of what ``recipe`` makes of it from the other folds."""
    if not count:
        return {}
    if not metrics:
        raise DataError("folds need labels or targets", hint="add an array `labels` to the .npz file")
    chosen = load_recipe(recipe)
    plain = cross_validate(lambda kept: graph, samples, metrics[0], count=count, seed=seed)
    made = cross_validate(
        lambda kept: pipeline.optimize(graph, recipe=chosen, data=kept, formats=["c"], seed=seed).graph,
        samples,
        metrics[0],
        count=count,
        seed=seed,
    )
    title = f"{metrics[0].name}, {'whole groups' if plain.grouped else 'samples'} held out"
    return {f"{title}, as it is": list(plain.figures), f"{title}, {recipe}": list(made.figures)}
