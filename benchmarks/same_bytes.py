"""The same bytes everywhere: integer evaluation = generated C on the host = under QEMU on every core = the tflite-micro wheel.

Each row counts the differing output bytes over all inputs: 0 is the claim.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import edgewright
from benchmarks.cases import CASES, Case
from edgewright.emit.tflite import emit_tflite
from edgewright.ops.evaluate import evaluate
from edgewright.run.tflm import run_tflm

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "rv32imac")
SAMPLES = 200
SLOW_SAMPLES = 20
"""For the sanitizers, and on cores that take many instructions or are slow to emulate."""
SLOW_CORES = ("cortex-m0plus", "cortex-m55", "rv32imac")


def rows(names: tuple[str, ...] = tuple(CASES)) -> list[dict[str, object]]:
    """One row a network; one column a place where it runs: differing bytes, of how many inputs."""
    return [_row(CASES[name]()) for name in names]


def _row(case: Case) -> dict[str, object]:
    inputs = case.inputs(SAMPLES)
    expected = evaluate(case.graph, inputs)
    row: dict[str, object] = {"network": case.name, "samples": SAMPLES}
    row["host C"] = _different(expected, edgewright.measure(case.program("host"), inputs).outputs)
    checked = edgewright.measure(case.program("host"), [array[:SLOW_SAMPLES] for array in inputs], sanitize=True)
    row["host C, sanitized"] = _different(expected, checked.outputs)
    wheel = run_tflm(emit_tflite(case.graph), inputs).outputs
    row["TFLM, emitted"] = _different(expected, wheel)
    if case.original is not None:
        original = {case.original.name: case.original.read_bytes()}
        row["TFLM, original"] = _different(expected, run_tflm(original, inputs).outputs)
    for core in CORES:
        count = SLOW_SAMPLES if core in SLOW_CORES else SAMPLES
        run = edgewright.measure(case.program(core), [array[:count] for array in inputs], profile=False)
        row[core] = _different(expected, run.outputs)
    return row


def _different(expected: list[npt.NDArray[np.generic]], outputs: list[npt.NDArray[np.generic]]) -> str:
    """Differing elements, and over how many inputs."""
    count = len(outputs[0])
    wrong = sum(int(np.sum(mine[:count] != theirs.reshape(mine[:count].shape))) for mine, theirs in zip(expected, outputs, strict=True))
    return f"{wrong} / {count}"
