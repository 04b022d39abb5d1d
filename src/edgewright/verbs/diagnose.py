"""`edgewright diagnose`: why a quantized network answers worse than its float original, and what mends it."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from edgewright import pipeline
from edgewright.data import Data, load_data
from edgewright.diagnosis.diagnose import diagnose as find_cause
from edgewright.diagnosis.remedy import apply_remedy
from edgewright.errors import ToolError, UnsupportedError
from edgewright.ir.graph import Graph
from edgewright.recipe import Recipe, format_recipe
from edgewright.report.diagnosis import diagnosis_html, diagnosis_text, make_diagnosis_report
from edgewright.verbs.result import Result


def diagnose(floating: str, quantized: str, *, data: str, fix: bool = False, out: Path | None = None, seed: int = 0) -> Result:
    """The report; with ``fix`` also the float network quantized anew by the remedy. Files are written where ``out`` says."""
    if out is not None and out.exists() and not out.is_dir():
        raise ToolError(f"{out} is a file, the results need a folder", hint="choose another one with -o")
    source, given = pipeline.load(floating), pipeline.load(quantized)
    samples = load_data(data, source)
    load_data(samples, given)
    found = find_cause(source, given, samples)
    remedy = None
    if fix and not found.health.healthy:
        remedy = apply_remedy(source, given, found, samples, functools.partial(_quantize, seed=seed), seed)
    report = make_diagnosis_report(found, remedy)
    record, text = report.model_dump(mode="json"), diagnosis_text(report)
    if out is not None:
        files = {"diagnosis.json": (json.dumps(record, indent=2, allow_nan=False) + "\n").encode()}
        files["diagnosis.html"] = diagnosis_html(report).encode("utf-8", "replace")
        if remedy is not None:
            files["remedy.toml"] = format_recipe(remedy.recipe).encode()
            try:
                files |= pipeline.emit(remedy.graph, ["tflite"])
            except UnsupportedError as error:
                text += f"\n\nthe mended network is not in .tflite: {error.message}"
        written = pipeline.write_files(files, out)
        text += "\n\n" + "\n".join(str(path) for path in written)
    return Result(record, text)


def _quantize(graph: Graph, recipe: Recipe, calibration: Data, *, seed: int) -> Graph:
    return pipeline.optimize(graph, recipe=recipe, data=calibration, formats=["c"], seed=seed).graph
