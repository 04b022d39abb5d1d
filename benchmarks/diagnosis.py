"""Networks sabotaged on purpose (see sabotage.py): is the right cause named, and does its remedy bring the loss back?

A network is calibrated for the remedy on one half of the judges and measured on the other. Healthy rows must find nothing.
"""

from __future__ import annotations

import time
from functools import cache

import numpy as np

import edgewright
from benchmarks.cases import model_path
from benchmarks.data import cifar10
from benchmarks.sabotage import SABOTAGES, Sabotaged, Subject, applies, edited, quantized, subjects, weighted
from edgewright.data import Data
from edgewright.diagnosis.diagnose import Diagnosis, diagnose
from edgewright.diagnosis.remedy import apply_remedy
from edgewright.ir.graph import Graph
from edgewright.recipe import Recipe, load_recipe


@cache
def ic_float() -> Subject:
    """ResNet-8 of MLPerf Tiny: 500 training images of CIFAR-10 calibrate, the first 1,000 test images judge."""
    cifar = cifar10()
    graph = edgewright.optimize(model_path("mlperf_tiny/ic_float.tflite"), recipe=load_recipe("clean")).graph
    calibration = Data((cifar.train_inputs[:500].astype(np.float32),), cifar.train_labels[:500])
    return Subject("ic_float", graph, calibration, Data((cifar.test_inputs[:1000].astype(np.float32),), cifar.test_labels[:1000]))


def red_and_blue(subject: Subject) -> Sabotaged:
    """The first layer's input channels in the other order."""
    graph = quantized(subject.graph, subject.calibration)
    name = weighted(graph)[0].inputs[1]
    return Sabotaged(subject.graph, edited(graph, {name: graph.array(name)[..., ::-1].copy()}), subject.judges)


def rows() -> list[dict[str, object]]:
    """One row a network and what was done to it."""
    found = []
    for subject in [*subjects(), ic_float()]:
        found.append(
            _row(subject, "nothing", Sabotaged(subject.graph, quantized(subject.graph, subject.calibration), subject.judges), "healthy")
        )
        for name, (sabotage, cause) in SABOTAGES.items():
            if applies(name, subject):
                found.append(_row(subject, name, sabotage(subject), cause))
    found.append(_row(ic_float(), "red and blue exchanged", red_and_blue(ic_float()), "preprocessing mismatch"))
    return found


def _row(subject: Subject, done: str, case: Sabotaged, cause: str) -> dict[str, object]:
    started = time.perf_counter()
    found = diagnose(case.floating, case.quantized, case.judges)
    seconds = time.perf_counter() - started
    health = found.health
    row: dict[str, object] = {
        "network": subject.name,
        "done to it": done,
        "float %": _percent(health.accuracy_before),
        "quantized %": _percent(health.accuracy_after),
        "expected": cause,
        "found": found.cause,
        "explains %": _percent(found.findings[0].explains) if found.findings else None,
        "seconds": round(seconds, 1),
    }
    return row | (_mended(found, case) if not health.healthy else {})


def _mended(found: Diagnosis, case: Sabotaged) -> dict[str, object]:
    remedy = apply_remedy(case.floating, case.quantized, found, case.judges, _quantize)
    return {"mended %": _percent(remedy.after.accuracy_after), "brought back %": _percent(remedy.recovered), "of": remedy.figure}


def _quantize(graph: Graph, recipe: Recipe, calibration: Data) -> Graph:
    return edgewright.optimize(graph, recipe=recipe, data=calibration, formats=["c"]).graph


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)
