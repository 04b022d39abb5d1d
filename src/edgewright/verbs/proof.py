"""What the device says: whether it gives the bytes of the evaluation, and what an accelerator's compiler makes of the network."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright import pipeline
from edgewright.errors import ToolError
from edgewright.ir.graph import Graph
from edgewright.ops.evaluate import evaluate_in_order, quantize_inputs, rows_to_choose
from edgewright.passes.registry import Line
from edgewright.run.run import Run
from edgewright.run.vela import VelaReport

SAMPLES = 8
"""Inferences that show that the bytes are the same; the first two are counted."""


@dataclass(frozen=True)
class Proof:
    """A run and whether its outputs were the evaluation's; the verdict of an accelerator's compiler.

    ``skipped``: the lines of the report that say which tool was missing.
    """

    run: Run | None = None
    equal: bool | None = None
    npu: VelaReport | None = None
    skipped: tuple[Line, ...] = ()

    @property
    def failed(self) -> str:
        """What to tell where the bytes differ; empty otherwise."""
        if self.run is None or self.equal is not False:
            return ""
        return f"{self.run.where} gave other bytes than the evaluation: a defect of the kernels or of the compiler"


def prove(result: pipeline.Optimized, formats: Collection[str]) -> Proof:
    """Run some of the samples at hand (or random ones) where there is C, and compile the .tflite where the target is an accelerator."""
    if result.program is None:
        return Proof()
    try:
        if result.target.compiler is not None and "tflite" in formats:
            return Proof(npu=pipeline.compile_npu(result, result.target))
        if "c" in formats:
            graph, samples = result.graph, result.test or result.data
            inputs = random_inputs(graph, SAMPLES) if samples is None else quantize_inputs(graph, samples.take(slice(0, SAMPLES)).inputs)
            run = pipeline.measure(result, inputs)
            return Proof(run, same_bytes(evaluate_in_order(graph, inputs), run.outputs))
    except ToolError as error:
        why = f"{error.message} ({error.hint})" if error.hint else error.message
        return Proof(skipped=(Line("measure", "skipped", result.target.name, why),))
    return Proof()


def same_bytes(expected: Sequence[NDArray[np.generic]], outputs: Sequence[NDArray[np.generic]]) -> bool:
    """Whether two lists of outputs hold the same numbers, shapes aside."""
    pairs = zip(expected, outputs, strict=True)
    return all(mine.size == theirs.size and np.array_equal(mine, theirs.reshape(mine.shape)) for mine, theirs in pairs)


def random_inputs(graph: Graph, samples: int) -> list[NDArray[np.generic]]:
    """Uniformly random integers (seed 0), rows of tables, normally distributed reals for float inputs: one array an input."""
    random = np.random.default_rng(0)
    arrays: list[NDArray[np.generic]] = []
    for name in graph.inputs:
        value = graph.value(name)
        shape = (samples * (value.shape[0] or 1), *(size or 1 for size in value.shape[1:]))
        if (rows := rows_to_choose(graph, name)) is not None:
            arrays.append(random.integers(0, rows, shape).astype(np.int32))
        elif value.dtype.is_integer:
            arrays.append(random.integers(value.dtype.minimum, value.dtype.maximum + 1, shape).astype(value.dtype.numpy))
        else:
            arrays.append(random.standard_normal(shape).astype(np.float32))
    return arrays
