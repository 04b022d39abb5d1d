"""Importers of the recurrent operators of .tflite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgewright.frontends.tflite_file import Operation
from edgewright.frontends.tflite_importer import Importer, InexpressibleError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Level
from edgewright.ops.lstm import GATES, LEAST_EXPONENT, LSTM
from edgewright.ops.transpose import Transpose

INPUTS = 24
"""Inputs of the operator: 0 the sequence, 1–4 and 5–8 the weights of the gates, 12–15 their biases, 18 and 19 the state and the cell."""
ABSENT = (9, 10, 11, 16, 17, 20, 21, 22, 23)
"""Peepholes, projection, layer normalization: the plain cell has none."""


def unidirectional_sequence_lstm(importer: Importer, operation: Operation) -> None:
    """UNIDIRECTIONAL_SEQUENCE_LSTM of the plain cell, in float or with int8 activations and int16 cell."""
    options = operation.options(schema.UnidirectionalSequenceLSTMOptionsT)
    if any(importer.present(operation, position) for position in ABSENT) or not importer.present(operation, 1):
        raise InexpressibleError("peepholes, a projection, layer normalization or coupled gates", "use the plain cell")
    if options.fusedActivationFunction != schema.ActivationFunctionType.TANH or options.cellClip or options.projClip:
        raise InexpressibleError("another activation than tanh, or a clipped cell", "use the plain cell")
    x = importer.operand(operation, 0)
    if options.timeMajor:
        x = importer.step(operation, Transpose((1, 0, 2)), (x,))
    op = LSTM() if importer.level is not Level.INTEGER else LSTM(_cell_exponent(importer, operation))
    weight = _stacked(importer, operation, 1, "weight")
    recurrent = _stacked(importer, operation, 5, "recurrent")
    inputs = (x, weight, recurrent, _biases(importer, operation, x, weight))
    if options.timeMajor:
        y = importer.step(operation, op, inputs)
        importer.finish(operation, Transpose((1, 0, 2)), (y,))
        return
    importer.finish(operation, op, inputs)


def _cell_exponent(importer: Importer, operation: Operation) -> int:
    """The power of two in whose steps the cell is held."""
    scale = importer.record(operation, 19).scale.tolist()
    exponent = round(math.log2(scale[0])) if len(scale) == 1 and scale[0] > 0 else 1
    if not LEAST_EXPONENT <= exponent <= 0 or scale != [2.0**exponent]:
        raise InexpressibleError(f"a cell with scale {scale}", "quantize the network again: the scale is a power of two from 2**-12 to 1")
    return exponent


def _array(importer: Importer, operation: Operation, position: int, rank: int) -> NDArray[Any]:
    array = importer.constant_array(operation, position)
    if array.ndim != rank or 0 in array.shape:
        raise operation.broken(f"has a constant of shape {list(array.shape)} at input {position}, expected {rank} axes")
    return array


def _stacked(importer: Importer, operation: Operation, first: int, what: str) -> str:
    """The weights of the four gates as one constant."""
    arrays = [_array(importer, operation, position, 2) for position in range(first, first + GATES)]
    if len({array.shape for array in arrays}) > 1:
        raise operation.broken("has gates of unequal sizes")
    whole, name = np.concatenate(arrays), importer.derived(operation, what)
    if importer.level is not Level.INTEGER:
        if whole.dtype != np.float32:
            raise InexpressibleError("int8 weights beside float activations", "convert it in float32, or with int8 activations")
        return importer.builder.constant(name, whole)
    quants = [importer.quant(importer.record(operation, position)) for position in range(first, first + GATES)]
    if whole.dtype != np.int8 or any(quant is None or any(quant.zero_point) for quant in quants):
        raise InexpressibleError("weights that are not symmetric int8", "quantize the network again")
    scales = np.repeat(np.asarray([quant.scale[0] for quant in quants if quant is not None], np.float32), len(arrays[0]))
    return importer.builder.constant(name, whole, dtype=DType.INT8, quant=Quant.per_axis(scales, 0, DType.INT8))


def _biases(importer: Importer, operation: Operation, x: str, weight: str) -> str:
    arrays = [_array(importer, operation, position, 1) for position in range(12, 12 + GATES)]
    if len({array.shape for array in arrays}) > 1:
        raise operation.broken("has gates of unequal sizes")
    whole, name = np.concatenate(arrays), importer.derived(operation, "bias")
    if importer.level is not Level.INTEGER:
        return importer.builder.constant(name, whole.astype(np.float32))
    source, quant = importer.value(x).quant, importer.value(weight).quant
    if whole.dtype != np.int32 or source is None or quant is None:
        raise InexpressibleError("biases that are not int32", "quantize the network again")
    scales = np.asarray(quant.scale, np.float32) * np.float32(source.scale[0])
    return importer.builder.constant(name, whole, dtype=DType.INT32, quant=Quant.per_axis(scales, 0, DType.INT32))
