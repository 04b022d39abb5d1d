"""How a network answers before and after: accuracy where labels are known, agreement with the original everywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from edgewright.data import Data
from edgewright.ir.graph import Graph, Level
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs


class Accuracy(BaseModel, frozen=True):
    """Figures over one set of samples. ``accuracy`` in 0 … 1 and only with labels; ``agreement``: share of equal argmax, classifiers only.

    ``signal_to_noise_db``: the original's first output against the difference, in dB; None where they are equal.
    """

    samples: int
    accuracy_before: float | None
    accuracy_after: float | None
    agreement: float | None
    signal_to_noise_db: float | None


def real_outputs(graph: Graph, data: Data) -> list[NDArray[np.float32]]:
    """Outputs as real numbers, whatever the level of ``graph``."""
    if graph.level is Level.INTEGER:
        return dequantize_outputs(graph, evaluate(graph, quantize_inputs(graph, data.inputs)))
    return [np.asarray(array, np.float32) for array in evaluate(graph, data.inputs)]


def compare(before: Graph, after: Graph, data: Data) -> Accuracy:
    """Evaluate both graphs on ``data``; the first output decides."""
    first, second = real_outputs(before, data)[0], real_outputs(after, data)[0]
    noise = float(np.mean((first.astype(np.float64) - second) ** 2))
    signal = float(np.mean(first.astype(np.float64) ** 2))
    classifies = first.ndim == 2 and first.shape[1] > 1
    chosen = [array.reshape(len(array), -1).argmax(axis=1) for array in (first, second)]
    labelled = classifies and data.labels is not None
    return Accuracy(
        samples=data.count,
        accuracy_before=float(np.mean(chosen[0] == data.labels)) if labelled else None,
        accuracy_after=float(np.mean(chosen[1] == data.labels)) if labelled else None,
        agreement=float(np.mean(chosen[0] == chosen[1])) if classifies else None,
        signal_to_noise_db=None if noise == 0.0 or signal == 0.0 else float(10 * np.log10(signal / noise)),
    )
