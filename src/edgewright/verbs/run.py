"""`edgewright run`: a network on samples, in one of the runtimes."""

from __future__ import annotations

import difflib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from edgewright import pipeline
from edgewright.data import load_data
from edgewright.errors import RecipeError
from edgewright.report.figures import percent
from edgewright.report.table import printable
from edgewright.targets.target import load_target
from edgewright.verbs.result import Result
from edgewright.verbs.runtimes import RUNTIMES, run_in


def run(model: str, *, data: str, runtime: str, target: str, out: Path | None) -> Result:
    """Outputs as real numbers, saved where ``out`` says, and the accuracy where there are labels."""
    if runtime not in RUNTIMES:
        close = difflib.get_close_matches(runtime, RUNTIMES, n=1)
        raise RecipeError(f"unknown runtime {runtime!r}", hint=f"did you mean {close[0]!r}?" if close else f"one of {', '.join(RUNTIMES)}")
    board = load_target("host" if runtime == "host" else target)
    if runtime == "qemu" and board.qemu is None and board.linux is None:
        raise RecipeError(f"{board.name} is not emulated", hint="choose a core or a board with --target, for example cortex-m4")
    graph = pipeline.load(model)
    samples = load_data(data, graph)
    found, notes = run_in(graph, list(samples.inputs), runtime, board)
    outputs = [np.asarray(array, np.float32) for array in found]
    shapes = {name: list(array.shape) for name, array in zip(graph.outputs, outputs, strict=True)}
    figures: dict[str, Any] = {"runtime": runtime, "samples": samples.count, "outputs": shapes, "notes": notes}
    lines = [f"{samples.count} samples in {runtime}", *(f"  {name}: {array}" for name, array in shapes.items())]
    lines += [f"  note: {note}" for note in notes]
    scores = outputs[0].reshape(len(outputs[0]), -1)
    if samples.labels is not None and scores.shape[1] > 1:
        figures["accuracy"] = float(np.mean(scores.argmax(axis=1) == samples.labels))
        lines.append(f"  accuracy {percent(figures['accuracy'])}")
    if out is not None:
        stream = BytesIO()
        np.savez(stream, **{f"output_{index}": array for index, array in enumerate(outputs)})  # type: ignore[arg-type]
        name = out.name if out.suffix == ".npz" else f"{out.name}.npz"
        figures["file"] = str(pipeline.write_files({name: stream.getvalue()}, out.parent)[0])
        lines.append(f"  saved as {figures['file']}")
    return Result(figures, printable("\n".join(lines)))
