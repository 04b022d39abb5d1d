"""Whether the device gives the bytes of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright import pipeline
from edgewright.errors import ToolError
from edgewright.ir.graph import Graph
from edgewright.ops.evaluate import evaluate_in_order, quantize_inputs
from edgewright.passes.registry import Line
from edgewright.run.run import Run

SAMPLES = 8
"""Inferences that show that the bytes are the same; the first two are counted."""


@dataclass(frozen=True)
class Proof:
    """A run and whether its outputs were the evaluation's; or, where a tool was missing, the line of the report that says so."""

    run: Run | None = None
    equal: bool | None = None
    skipped: Line | None = None

    @property
    def failed(self) -> str:
        """What to tell where the bytes differ; empty otherwise."""
        if self.run is None or self.equal is not False:
            return ""
        return f"{self.run.where} gave other bytes than the evaluation: a defect of the kernels or of the compiler"


def prove(result: pipeline.Optimized) -> Proof:
    """Run some of the samples at hand (or random ones) on the device, and compare with the evaluation."""
    program, graph, samples = result.program, result.graph, result.test or result.data
    if program is None:
        return Proof()
    inputs = random_inputs(graph, SAMPLES) if samples is None else quantize_inputs(graph, samples.take(slice(0, SAMPLES)).inputs)
    try:
        run = pipeline.measure(program, inputs)
    except ToolError as error:
        return Proof(
            skipped=Line("measure", "skipped", program.target.name, f"{error.message} ({error.hint})" if error.hint else error.message)
        )
    return Proof(run, same_bytes(evaluate_in_order(graph, inputs), run.outputs))


def same_bytes(expected: Sequence[NDArray[np.generic]], outputs: Sequence[NDArray[np.generic]]) -> bool:
    """Whether two lists of outputs hold the same numbers, shapes aside."""
    return all(
        mine.size == theirs.size and np.array_equal(mine, theirs.reshape(mine.shape))
        for mine, theirs in zip(expected, outputs, strict=True)
    )


def random_inputs(graph: Graph, samples: int) -> list[NDArray[np.generic]]:
    """Uniformly random integers (seed 0), normally distributed reals for float inputs: one array an input."""
    random = np.random.default_rng(0)
    arrays: list[NDArray[np.generic]] = []
    for name in graph.inputs:
        value = graph.value(name)
        shape = (samples * (value.shape[0] or 1), *(size or 1 for size in value.shape[1:]))
        if value.dtype.is_integer:
            arrays.append(random.integers(value.dtype.minimum, value.dtype.maximum + 1, shape).astype(value.dtype.numpy))
        else:
            arrays.append(random.standard_normal(shape).astype(np.float32))
    return arrays
