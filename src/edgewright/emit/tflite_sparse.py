"""Weights without their zeros, in LiteRT's sparse tensors: compressed rows along the last axis.

LiteRT's own kernel takes sparse float weights of a FULLY_CONNECTED and skips the zeros. Every other layer has a DENSIFY before it, which
LiteRT (XNNPACK too) carries out once, as the network is loaded: the file is smaller, time and memory at run time are those of the dense
network. Int8 weights stay dense: LiteRT's reference kernels take a DENSIFY of them, XNNPACK, which is its default, refuses such a file.
TensorFlow Lite Micro has no DENSIFY. Source: SparsityParameters in LiteRT's schema.fbs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgewright.emit.tflite_weights import replace_data, weight_array, weight_tensors
from edgewright.emit.tflite_writer import Writer

SKIPPED_FROM = 0.92
"""Zeros from which LiteRT's sparse FULLY_CONNECTED is faster than its dense one (x86, 1024 x 1024, one thread: equal at 0.9, half the
time at 0.95, two times as slow at 0.8)."""
_SKIPPING_VERSION = 8
OVERHEAD_BYTES = 256
"""What a sparse weight takes in the file beside its numbers: its description, DENSIFY and its output."""


def store_sparse(writer: Writer) -> None:
    """Float weights as sparse tensors wherever that is smaller."""
    for index, kinds in weight_tensors(writer):
        record, array = writer.subgraphs[0].tensors[index], weight_array(writer, index)
        if record.type != schema.TensorType.FLOAT32 or array.ndim < 2 or array.size == 0:
            continue
        sparsity, numbers, size = _compressed_rows(array)
        if len(numbers) == 0 or size + OVERHEAD_BYTES >= array.nbytes:
            continue
        if set(kinds) == {"FULLY_CONNECTED"} and len(numbers) <= (1.0 - SKIPPED_FROM) * array.size:
            _skip_zeros(writer, index)
        else:
            _densify(writer, index)
        record.sparsity = sparsity
        replace_data(writer, index, numbers.tobytes())


def _compressed_rows(array: NDArray[Any]) -> tuple[Any, NDArray[Any], int]:
    """The description, the numbers that are not zero, and the bytes of both. All axes are dense but the last, which lists its places."""
    rows = array.reshape(-1, array.shape[-1])
    present = rows != 0
    starts, places = np.concatenate([[0], np.cumsum(present.sum(axis=1))]), np.nonzero(present)[1]
    last = schema.DimensionMetadataT()
    last.format = schema.DimensionType.SPARSE_CSR
    last.arraySegmentsType, last.arraySegments, starts_bytes = _vector(starts)
    last.arrayIndicesType, last.arrayIndices, places_bytes = _vector(places)
    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder = np.arange(array.ndim, dtype=np.int32)
    sparsity.dimMetadata = [*(_dense(size) for size in array.shape[:-1]), last]
    numbers = rows[present]
    return sparsity, numbers, starts_bytes + places_bytes + numbers.nbytes


def _dense(size: int) -> Any:
    metadata = schema.DimensionMetadataT()
    metadata.format, metadata.denseSize = schema.DimensionType.DENSE, size
    return metadata


def _vector(numbers: NDArray[Any]) -> tuple[int, Any, int]:
    """``numbers`` in the narrowest vector that the format has: its kind, itself, its bytes."""
    most = int(numbers.max(initial=0))
    kind, vector, dtype = ((schema.SparseIndexVector.Uint8Vector, schema.Uint8VectorT(), np.uint8) if most < 1 << 8 else
                           (schema.SparseIndexVector.Uint16Vector, schema.Uint16VectorT(), np.uint16) if most < 1 << 16 else
                           (schema.SparseIndexVector.Int32Vector, schema.Int32VectorT(), np.int32))
    vector.values = numbers.astype(dtype)
    return int(kind), vector, int(vector.values.nbytes)


def _skip_zeros(writer: Writer, index: int) -> None:
    """The readers of weight ``index`` in the version that knows sparse weights."""
    kinds = [kind for kind, _ in writer.codes]
    code = writer.codes.setdefault(("FULLY_CONNECTED", _SKIPPING_VERSION), len(writer.codes))
    for operator in writer.subgraphs[0].operators:
        if kinds[operator.opcodeIndex] == "FULLY_CONNECTED" and operator.inputs[1] == index:
            operator.opcodeIndex = code


def _densify(writer: Writer, index: int) -> None:
    """A DENSIFY of weight ``index`` before the first operator that reads it."""
    main = writer.subgraphs[0]
    record = main.tensors[index]
    dense = writer.tensor(writer.name(f"{record.name}_dense"), record.shape.tolist(), "FLOAT32")
    first = next(place for place, operator in enumerate(main.operators) if index in operator.inputs.tolist())
    for operator in main.operators:
        operator.inputs = np.where(operator.inputs == index, np.int32(dense.index), operator.inputs)
    code = writer.codes.setdefault(("DENSIFY", 1), len(writer.codes))
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, np.asarray([index], np.int32), np.asarray([dense.index], np.int32)
    operator.builtinOptions, operator.builtinOptionsType = schema.DensifyOptionsT(), schema.BuiltinOptions.DensifyOptions
    main.operators.insert(first, operator)
