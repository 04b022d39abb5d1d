"""How a network answers before and after: accuracy where labels are known, agreement with the original everywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from edgewright.data import Data
from edgewright.ir.graph import Graph, Level
from edgewright.ops.evaluate import dequantize_outputs, evaluate_in_order, quantize_inputs


class Accuracy(BaseModel, frozen=True):
    """Figures over one set of samples; the first output decides.

    ``samples_from``: "test" data, or the "calibration" data that the ranges were chosen on. ``accuracy_before`` and ``accuracy_after``:
    shares of 1, with labels only. ``agreement``: the share of samples with the same answer (argmax), classifiers only.
    ``signal_to_noise_db``: the original's output against the difference; None where they are equal.
    """

    samples: int
    samples_from: str
    accuracy_before: float | None
    accuracy_after: float | None
    agreement: float | None
    signal_to_noise_db: float | None


def real_outputs(graph: Graph, data: Data) -> list[NDArray[np.float32]]:
    """Outputs as real numbers, whatever the level of ``graph``; the samples of a network with states are one stream."""
    if graph.level is Level.INTEGER:
        return dequantize_outputs(graph, evaluate_in_order(graph, quantize_inputs(graph, data.inputs)))
    return [np.asarray(array, np.float32) for array in evaluate_in_order(graph, data.inputs)]


def compare(before: Graph, after: Graph, data: Data, *, samples_from: str = "test") -> Accuracy:
    """Evaluate both graphs on ``data``."""
    first, second = real_outputs(before, data)[0], real_outputs(after, data)[0]
    second = second.reshape(first.shape)
    classifies = before.value(before.outputs[0]).shape != before.value(before.inputs[0]).shape
    answers = [_answers(array, data) if classifies else None for array in (first, second)]
    right = [None if chosen is None or data.labels is None else float(np.mean(chosen == data.labels)) for chosen in answers]
    same = None if answers[0] is None or answers[1] is None else float(np.mean(answers[0] == answers[1]))
    return Accuracy(
        samples=data.count,
        samples_from=samples_from,
        accuracy_before=right[0],
        accuracy_after=right[1],
        agreement=same,
        signal_to_noise_db=signal_to_noise_db(first, second),
    )


def _answers(output: NDArray[np.float32], data: Data) -> NDArray[np.int64] | None:
    """The class of each sample, or None where the output is not one score for each of at least two classes."""
    scores = output.reshape(len(output), -1) if output.ndim else output
    if output.ndim < 2 or len(output) != data.count or scores.shape[1] < 2 or max(output.shape[1:]) != scores.shape[1]:
        return None
    return np.asarray(scores.argmax(axis=1), np.int64)


def signal_to_noise_db(reference: NDArray[np.floating], other: NDArray[np.floating]) -> float | None:
    """Power of ``reference`` over that of the difference, in dB; None where they are equal or the reference is zero."""
    noise = float(np.mean((reference.astype(np.float64) - other) ** 2)) if reference.size else 0.0
    signal = float(np.mean(reference.astype(np.float64) ** 2)) if reference.size else 0.0
    return None if noise == 0.0 or signal == 0.0 or not np.isfinite(noise + signal) else float(10 * np.log10(signal / noise))
