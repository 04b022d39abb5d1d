"""`edgewright emit`: a network as it is, in other formats."""

from __future__ import annotations

from pathlib import Path

from edgewright import pipeline
from edgewright.targets.target import load_target
from edgewright.verbs.optimize import split
from edgewright.verbs.result import Result


def emit(
    model: str, *, target: str, prefer: str = "speed", out: Path, formats: str, onnx_activations: str, tflite_weights: str = "plain"
) -> Result:
    """Write ``model`` below ``out``."""
    board = load_target(target).preferring(prefer)
    wanted = pipeline.check_formats(split(formats), onnx_activations, tflite_weights)
    graph = pipeline.load(model)
    files = pipeline.emit(graph, wanted, target=board, onnx_activations=onnx_activations, tflite_weights=tflite_weights)
    written = pipeline.write_files(files, out)
    sizes = {name: len(contents) for name, contents in files.items()}
    return Result({"folder": str(out), "files": sizes}, "\n".join(str(path) for path in written))
