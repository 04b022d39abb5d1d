"""The diagnosis as a report: one model, written as text, JSON and HTML."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined, Template
from pydantic import BaseModel

from edgewright.diagnosis.case import Case, LayerNoise, reach
from edgewright.diagnosis.diagnose import Diagnosis, Health, recipe_of
from edgewright.diagnosis.finding import Finding
from edgewright.diagnosis.remedy import Remedy
from edgewright.recipe import RECIPES, Option, Recipe
from edgewright.report.figures import percent
from edgewright.report.table import columns, render, shortened

BINS = 96
MOST_HISTOGRAMS = 8
LONGEST_NAME = 40
WIDTH, ROW, LEFT, RIGHT = 1060, 18, 300, 60
"""Of the picture of the layers, in pixels."""
TALLEST = 60.0
"""Signal to noise in dB at the picture's right end."""


class Condition(BaseModel, frozen=True):
    """How the quantized network does beside the float one; shares of 1. ``verdict``: with labels."""

    samples: int
    signal_to_noise_db: float | None
    agreement: float | None
    accuracy_float: float | None
    accuracy_quantized: float | None
    verdict: str


class Cause(BaseModel, frozen=True):
    """``explains``: share of the output's noise power that goes when this alone is undone, in simulation."""

    cause: str
    explains: float
    where: list[str]
    evidence: str
    numbers: dict[str, float]
    fix: str
    recipe: str


class Histogram(BaseModel, frozen=True):
    """Counts between ``low`` and ``high`` of one value of the float network; its grid in the quantized one reaches from ``grid_low`` to
    ``grid_high``; None where every channel has a grid of its own."""

    name: str
    low: float
    high: float
    counts: list[int]
    grid_low: float | None
    grid_high: float | None
    bits: int


class Mended(BaseModel, frozen=True):
    """What the remedy gave, on samples that it was not calibrated on. ``recovered``: share of what was lost in ``figure``."""

    causes: list[str]
    recipe: str
    figure: str
    recovered: float
    before: Condition
    after: Condition


class DiagnosisReport(BaseModel, frozen=True):
    """Everything that `edgewright diagnose` found; ``cause`` is "healthy" where nothing is wrong."""

    name: str
    cause: str
    health: Condition
    findings: list[Cause]
    layers: list[LayerNoise]
    histograms: list[Histogram] = []
    mended: Mended | None = None


def make_diagnosis_report(diagnosis: Diagnosis, remedy: Remedy | None = None) -> DiagnosisReport:
    """Gather the report. A healthy network has no layers in it: nothing was looked for."""
    findings = [_cause(diagnosis, finding) for finding in diagnosis.findings]
    mended = None
    if remedy is not None:
        mended = Mended(
            causes=list(remedy.causes),
            recipe=recipe_line(remedy.recipe),
            figure=remedy.figure,
            recovered=remedy.recovered,
            before=_condition(remedy.before),
            after=_condition(remedy.after),
        )
    return DiagnosisReport(
        name=diagnosis.case.pair.quantized.name,
        cause=diagnosis.cause,
        health=_condition(diagnosis.health),
        findings=findings,
        layers=list(diagnosis.layers),
        histograms=[] if diagnosis.health.healthy else _histograms(diagnosis),
        mended=mended,
    )


def _condition(health: Health) -> Condition:
    return Condition(
        samples=health.samples,
        signal_to_noise_db=health.signal_to_noise_db,
        agreement=health.agreement,
        accuracy_float=health.accuracy_before,
        accuracy_quantized=health.accuracy_after,
        verdict="" if health.verdict is None else health.verdict.text,
    )


def _cause(diagnosis: Diagnosis, finding: Finding) -> Cause:
    return Cause(
        cause=finding.cause,
        explains=finding.explains,
        where=list(finding.where),
        evidence=finding.evidence,
        numbers=dict(finding.numbers),
        fix=finding.fix.why,
        recipe=recipe_line(recipe_of(diagnosis.case.pair, [finding])),
    )


def recipe_line(recipe: Recipe) -> str:
    """The steps of ``recipe`` as a line of TOML that a recipe file takes; the exact clean-up goes by its name."""
    parts: list[str] = []
    clean = {step.name for step in RECIPES["clean"].steps}
    for step in recipe.steps:
        if step.name in clean and step.repeat:
            parts += [] if parts and parts[-1] == '"clean"' else ['"clean"']
        elif not step.options:
            parts.append(f'"{step.name}"')
        else:
            pairs = [f"{key} = {_toml(value)}" for key, value in step.options.items()]
            parts.append(f'{{ pass = "{step.name}", options = {{ {", ".join(pairs)} }} }}')
    return f"steps = [{', '.join(parts)}]"


def _toml(value: Option) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _histograms(diagnosis: Diagnosis) -> list[Histogram]:
    """Of the activations and weights of the layers under suspicion, or of those with most noise."""
    case = diagnosis.case
    suspects = [name for finding in diagnosis.findings[:1] for name in finding.where]
    noisy = sorted((layer for layer in diagnosis.layers if layer.alone is not None), key=lambda layer: layer.alone or 0.0)
    names = list(dict.fromkeys([*suspects, *(layer.name for layer in noisy)]))
    found: list[Histogram] = []
    for layer in names:
        found += _of_layer(case, layer)
    return found[:MOST_HISTOGRAMS]


def _of_layer(case: Case, layer: str) -> list[Histogram]:
    found = []
    for name, quant, seen in case.activations():
        if case.pair.layer_of(name) == layer or name == layer:
            low, high = reach(quant)
            found.append(_histogram(name, seen.numbers, low, high, quant.dtype.bits))
    for entry in case.weights:
        if entry.node.name == layer:
            low_end, high_end = reach(entry.quant) if entry.shared else (None, None)
            found.append(_histogram(entry.name, entry.real.reshape(-1), low_end, high_end, entry.bits))
    return found


def _histogram(name: str, numbers: np.ndarray[Any, Any], grid_low: float | None, grid_high: float | None, bits: int) -> Histogram:
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 0.0)
    high = high if high > low else low + 1e-6
    counts = np.histogram(numbers, BINS, (low, high))[0]
    return Histogram(name=name, low=low, high=high, counts=counts.tolist(), grid_low=grid_low, grid_high=grid_high, bits=bits)


def diagnosis_text(report: DiagnosisReport) -> str:
    """The report in a terminal."""
    tables = [columns(("", ""), _headline(report), header=False)]
    if report.findings:
        rows = [(entry.cause, percent(entry.explains), entry.evidence, ", ".join(entry.where[:4])) for entry in report.findings]
        tables.append(columns(("cause", "explains", "evidence", "where"), rows, numbers=(1,)))
        tables.append(columns(("cause", "remedy", "as a recipe"), [(entry.cause, entry.fix, entry.recipe) for entry in report.findings]))
    if report.layers:
        decibels = [[_shown(ratio) for ratio in (layer.here, layer.alone, layer.without)] for layer in report.layers]
        rows_of = [
            (shortened(layer.name, LONGEST_NAME), layer.kind, str(layer.bits or ""), *three)
            for layer, three in zip(report.layers, decibels, strict=True)
        ]
        titles = ("layer", "operator", "bits", "dB here", "dB out, alone", "dB out, all but it")
        tables.append(columns(titles, rows_of, numbers=(2, 3, 4, 5)))
    if report.mended is not None:
        mended = report.mended
        told = [
            ("remedy for", ", ".join(mended.causes) or "no single cause"),
            ("recipe", mended.recipe),
            (f"{mended.figure} brought back, {mended.after.samples:,} other samples", percent(mended.recovered)),
            *_figures("before", mended.before),
            *_figures("after", mended.after),
        ]
        tables.append(columns(("", ""), told, header=False))
    return render(tables)


def _headline(report: DiagnosisReport) -> list[tuple[str, str]]:
    rows = [("network", report.name), ("diagnosis", report.cause), *_figures("", report.health)]
    return [*rows, ("verdict", report.health.verdict)] if report.health.verdict else rows


def _figures(when: str, health: Condition) -> list[tuple[str, str]]:
    rows = []
    if health.accuracy_float is not None and health.accuracy_quantized is not None:
        both = f"{percent(health.accuracy_float)} in float, {percent(health.accuracy_quantized)} quantized"
        rows.append((f"{when} accuracy".strip(), both))
    if health.agreement is not None:
        rows.append((f"{when} same answer as in float".strip(), f"{percent(health.agreement)} of {health.samples:,}"))
    if health.signal_to_noise_db is not None:
        rows.append((f"{when} output's signal to noise".strip(), f"{health.signal_to_noise_db:.1f} dB"))
    return rows


def _shown(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1f}"


def diagnosis_html(report: DiagnosisReport) -> str:
    """The report as one self-contained page. All text from the model is escaped."""
    return _template().render(
        r=report, headline=_headline(report), picture=_picture(report), histograms=[_drawn(entry) for entry in report.histograms]
    )


@cache
def _template() -> Template:
    source = resources.files("edgewright.report").joinpath("diagnosis.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(source)


def _picture(report: DiagnosisReport) -> dict[str, Any]:
    """Three bars a layer, in pixels."""
    scale = (WIDTH - LEFT - RIGHT) / TALLEST
    rows = []
    for index, layer in enumerate(report.layers):
        bars = []
        for kind, ratio in (("here", layer.here), ("alone", layer.alone), ("without", layer.without)):
            length = 0.0 if ratio is None else float(np.clip(ratio, 0.5, TALLEST)) * scale
            bars.append({"kind": kind, "w": f"{length:.1f}", "title": f"{kind}: {'no noise' if ratio is None else f'{ratio:.1f} dB'}"})
        rows.append({"y": 10 + index * 2 * ROW, "name": shortened(layer.name, LONGEST_NAME), "title": layer.name, "bars": bars})
    ticks = [(f"{LEFT + level * scale:.1f}", level) for level in range(0, int(TALLEST) + 1, 10)]
    return {"width": WIDTH, "height": 40 + len(rows) * 2 * ROW, "left": LEFT, "rows": rows, "ticks": ticks}


def _drawn(entry: Histogram) -> dict[str, Any]:
    """Bars of the logarithm of counts, and the grid's ends, in pixels of a picture of 500 x 120."""
    low = entry.low if entry.grid_low is None else min(entry.low, entry.grid_low)
    high = entry.high if entry.grid_high is None else max(entry.high, entry.grid_high)
    scale, most = 500 / max(high - low, 1e-30), float(np.log1p(max([*entry.counts, 1])))
    width = (entry.high - entry.low) / len(entry.counts)
    bars = []
    for index, count in enumerate(entry.counts):
        if count:
            tall = 96 * float(np.log1p(count)) / most
            x = (entry.low + index * width - low) * scale
            bars.append({"x": f"{x:.1f}", "y": f"{100 - tall:.1f}", "w": f"{max(0.8, width * scale):.1f}", "h": f"{tall:.1f}"})
    ends: list[str] = []
    grid = "one grid a channel"
    if entry.grid_low is not None and entry.grid_high is not None:
        ends = [f"{(end - low) * scale:.1f}" for end in (entry.grid_low, entry.grid_high)]
        grid = f"grid {entry.grid_low:.4g} … {entry.grid_high:.4g}"
    label = f"{entry.low:.4g} … {entry.high:.4g}; {grid}, {entry.bits} bits"
    return {"name": shortened(entry.name, 60), "label": label, "bars": bars, "ends": ends}
