"""What a network answers, as real numbers and as classes, whatever its level."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from edgewright.data import Data
from edgewright.ir.dtype import DType
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level
from edgewright.ops.evaluate import dequantize_outputs, evaluate_in_order, quantize_inputs

Reals = NDArray[np.float32]
Classes = NDArray[np.int64]


def real_outputs(graph: Graph, data: Data) -> list[Reals]:
    """Outputs as real numbers, whatever the level of ``graph``; the samples of a network with states are one stream."""
    if graph.level is Level.INTEGER:
        return dequantize_outputs(graph, evaluate_in_order(graph, quantize_inputs(graph, data.inputs)))
    return [np.asarray(array, np.float32) for array in evaluate_in_order(graph, data.inputs)]


def simulated(graph: Graph) -> Graph:
    """Integer ``graph`` at the quantized level: float arithmetic between values that are rounded to the same grids.

    A graph of another level comes back as it is.
    """
    if graph.level is not Level.INTEGER:
        return graph
    values, constants = [], {}
    for name, value in graph.values.items():
        values.append(dataclasses.replace(value, dtype=DType.FLOAT32) if value.dtype.is_integer else value)
        if name in graph.constants:
            held = graph.constants[name]
            real = held.array.astype(np.float32) if value.quant is None else value.quant.to_real(held.array)
            constants[name] = Constant(np.asarray(real, np.float32), held.structure)
    return rebuild(graph, values=values, constants=constants, level=Level.QUANTIZED)


def classifies(graph: Graph) -> bool:
    """Whether output 0 can be one score a class: it does not have the shape of the input, as what restores a signal has."""
    return graph.value(graph.outputs[0]).shape != graph.value(graph.inputs[0]).shape


def regresses(data: Data, output: Reals) -> bool:
    """Whether ``data`` has, in place of labels, a number for each of ``output``."""
    return data.labels is None and data.reals is not None and data.reals.size == output.size


def scores_of(output: Reals, count: int) -> Reals | None:
    """``output`` as (N, classes), or None where it is not one score for each of at least two classes of ``count`` samples."""
    if output.ndim < 2 or len(output) != count:
        return None
    scores = output.reshape(len(output), -1)
    return scores if scores.shape[1] >= 2 and max(output.shape[1:]) == scores.shape[1] else None


def signal_to_noise_db(reference: NDArray[np.floating], other: NDArray[np.floating]) -> float | None:
    """Power of ``reference`` over that of the difference, in dB; None where they are equal or the reference is zero."""
    noise = float(np.mean((reference.astype(np.float64) - other) ** 2)) if reference.size else 0.0
    signal = float(np.mean(reference.astype(np.float64) ** 2)) if reference.size else 0.0
    return None if noise == 0.0 or signal == 0.0 or not np.isfinite(noise + signal) else float(10 * np.log10(signal / noise))
