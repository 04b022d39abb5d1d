"""Arithmetic on shapes that a .tflite file leaves to the runtime: SHAPE, then slices, products and packs of its numbers.

A function gets the known input arrays in order and gives the outputs, or None where it does not fit: the operator's importer then has
its say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgewright.frontends.tflite_file import MOST_AXES, Operation
from edgewright.frontends.tflite_importer import Folding, Importer
from edgewright.frontends.tflite_shapes import strided_parts

Array = NDArray[Any]
MOST_NUMBERS = 1 << 22
_CASTS = {schema.TensorType.INT32: np.int32, schema.TensorType.INT64: np.int64, schema.TensorType.FLOAT32: np.float32}


def _shape(importer: Importer, operation: Operation, arrays: list[Array]) -> Sequence[Array] | None:
    kind = np.int64 if operation.options(schema.ShapeOptionsT).outType == schema.TensorType.INT64 else np.int32
    return [np.asarray(importer.record(operation, 0).shape, kind)]


def _guard(fold: Callable[[Operation, list[Array]], Array | None]) -> Folding:
    """numpy's complaints about arrays that do not fit, as a ModelError."""

    def run(importer: Importer, operation: Operation, arrays: list[Array]) -> Sequence[Array] | None:
        try:
            with np.errstate(all="ignore"):
                result = fold(operation, arrays)
        except (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError) as error:
            raise operation.broken(f"does not fit its constant inputs: {error}") from error
        return None if result is None else [np.asarray(result)]

    return run


def _small(shape: Sequence[int]) -> None:
    if len(shape) > MOST_AXES or math.prod(shape) > MOST_NUMBERS:
        raise ValueError(f"shape {list(shape)} is too large for a constant")


def _binary(compute: Callable[[Array, Array], Array]) -> Folding:
    def fold(operation: Operation, arrays: list[Array]) -> Array:
        _small(np.broadcast_shapes(arrays[0].shape, arrays[1].shape))
        return compute(arrays[0], arrays[1]).astype(arrays[0].dtype)

    return _guard(fold)


def _strided_slice(operation: Operation, arrays: list[Array]) -> Array:
    array, begin, end, stride = arrays
    numbers = ([int(item) for item in part.reshape(-1)] for part in (begin, end, stride))
    parts, output = strided_parts(operation, array.shape, *numbers)
    taken = array[tuple(slice(part.begin, part.begin + part.size * part.stride, part.stride) for part in parts)]
    return taken.reshape(output)


def _slice(operation: Operation, arrays: list[Array]) -> Array:
    array, begin, size = arrays
    stops = [None if length == -1 else start + length for start, length in zip(begin.tolist(), size.tolist(), strict=True)]
    return array[tuple(slice(start, stop) for start, stop in zip(begin.tolist(), stops, strict=True))]


def _pack(operation: Operation, arrays: list[Array]) -> Array:
    return np.stack(arrays, operation.options(schema.PackOptionsT).axis)


def _concatenation(operation: Operation, arrays: list[Array]) -> Array:
    return np.concatenate(arrays, operation.options(schema.ConcatenationOptionsT).axis)


def _gather(operation: Operation, arrays: list[Array]) -> Array:
    axis = operation.options(schema.GatherOptionsT).axis
    _small((*arrays[0].shape[:axis], *arrays[1].shape, *arrays[0].shape[axis + 1 :]))
    return np.take(arrays[0], arrays[1], axis)


def _cast(operation: Operation, arrays: list[Array]) -> Array | None:
    kind = _CASTS.get(operation.options(schema.CastOptionsT).outDataType)
    return None if kind is None else arrays[0].astype(kind)


def _reduce_prod(operation: Operation, arrays: list[Array]) -> Array:
    axes = tuple(int(axis) for axis in arrays[1].reshape(-1))
    keep = bool(operation.options(schema.ReducerOptionsT).keepDims)
    return np.asarray(np.prod(arrays[0], axis=axes, keepdims=keep, dtype=arrays[0].dtype))


def _reshape(operation: Operation, arrays: list[Array]) -> Array:
    if len(arrays) > 1:
        return arrays[0].reshape([int(size) for size in arrays[1].reshape(-1)])
    new_shape = operation.options(schema.ReshapeOptionsT).newShape
    return arrays[0].reshape([int(size) for size in (() if new_shape is None else new_shape)])


def _squeeze(operation: Operation, arrays: list[Array]) -> Array:
    dims = operation.options(schema.SqueezeOptionsT).squeezeDims
    return np.squeeze(arrays[0], None if dims is None or len(dims) == 0 else tuple(int(axis) for axis in dims))


def _expand_dims(operation: Operation, arrays: list[Array]) -> Array:
    return np.expand_dims(arrays[0], int(arrays[1].reshape(-1)[0]))


def _transpose(operation: Operation, arrays: list[Array]) -> Array:
    return arrays[0].transpose([int(axis) for axis in arrays[1].reshape(-1)])


def _fill(operation: Operation, arrays: list[Array]) -> Array:
    sizes = [int(size) for size in arrays[0].reshape(-1)]
    _small(sizes)
    return np.full(sizes, arrays[1].reshape(-1)[0])


def _range(operation: Operation, arrays: list[Array]) -> Array:
    start, limit, delta = (int(part.reshape(-1)[0]) for part in arrays)
    _small((len(range(start, limit, delta)),))
    return np.asarray(range(start, limit, delta), arrays[0].dtype)


FOLDS: Mapping[str, Folding] = {
    "SHAPE": _shape,
    "STRIDED_SLICE": _guard(_strided_slice), "SLICE": _guard(_slice), "PACK": _guard(_pack), "CONCATENATION": _guard(_concatenation),
    "GATHER": _guard(_gather), "CAST": _guard(_cast), "REDUCE_PROD": _guard(_reduce_prod), "RESHAPE": _guard(_reshape),
    "SQUEEZE": _guard(_squeeze), "EXPAND_DIMS": _guard(_expand_dims), "TRANSPOSE": _guard(_transpose), "FILL": _guard(_fill),
    "RANGE": _guard(_range),
    "ADD": _binary(np.add), "SUB": _binary(np.subtract), "MUL": _binary(np.multiply),
    "MAXIMUM": _binary(np.maximum), "MINIMUM": _binary(np.minimum), "FLOOR_DIV": _binary(np.floor_divide),
}
