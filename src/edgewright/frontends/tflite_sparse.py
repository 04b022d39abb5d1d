"""Sparse tensors of a .tflite file as plain arrays.

A tensor's axes, and after them those of its blocks, are walked in the order that the file gives; each level is dense, or lists where its
numbers are (compressed rows). Errors of damaged bytes are ValueError, IndexError or struct.error, which frontends/tflite_file.py words.
Source: SparsityParameters in LiteRT's schema.fbs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

Array = NDArray[Any]
_VECTORS = {
    schema.SparseIndexVector.Int32Vector: schema.Int32Vector,
    schema.SparseIndexVector.Uint16Vector: schema.Uint16Vector,
    schema.SparseIndexVector.Uint8Vector: schema.Uint8Vector,
}


def unpack_sparse(numbers: Array, sparsity: Any, shape: tuple[int, ...]) -> Array:
    """``numbers`` (those that are stored) where ``sparsity`` (a SparsityParameters) puts them in an array of ``shape``, zeros elsewhere."""
    order = [] if sparsity.TraversalOrderIsNone() else sparsity.TraversalOrderAsNumpy().tolist()
    blocked = [] if sparsity.BlockMapIsNone() else sparsity.BlockMapAsNumpy().tolist()
    levels, rank = len(shape) + len(blocked), len(shape)
    if sorted(order) != list(range(levels)) or sparsity.DimMetadataLength() != levels or any(not 0 <= axis < rank for axis in blocked):
        raise ValueError(f"a sparse tensor of shape {list(shape)} with order {order} and blocks along {blocked}")
    if len(set(blocked)) != len(blocked):
        raise ValueError(f"a sparse tensor with two blocks along one axis: {blocked}")
    sizes, places = _walk(sparsity, order, math.prod(shape))
    if any(len(place) != len(numbers) for place in places.values()):
        raise ValueError(f"a sparse tensor stores {len(numbers)} numbers and {len(places[order[-1]])} places")
    block = {axis: sizes[rank + index] for index, axis in enumerate(blocked)}
    flat = np.zeros(len(numbers), np.int64)
    for axis, size in enumerate(shape):
        place = places[axis]
        if axis in block:
            place = place * block[axis] + places[rank + blocked.index(axis)]
        if place.min(initial=0) < 0 or place.max(initial=0) >= size:
            raise ValueError(f"a sparse tensor of shape {list(shape)} has places outside along axis {axis}")
        flat = flat * size + place
    dense = np.zeros(math.prod(shape), numbers.dtype)
    dense[flat] = numbers
    return dense.reshape(shape)


def _walk(sparsity: Any, order: list[int], most: int) -> tuple[dict[int, int], dict[int, Array]]:
    """Level → its size (of dense ones), and where each stored number lies along it."""
    sizes: dict[int, int] = {}
    places: dict[int, Array] = {}
    count = 1
    for position, level in enumerate(order):
        metadata = sparsity.DimMetadata(position)
        if metadata.Format() == schema.DimensionType.DENSE:
            size = sizes[level] = metadata.DenseSize()
            if size < 0 or count * size > most:
                raise ValueError(f"a sparse tensor of {most} elements has more at level {position}")
            parents, here = np.repeat(np.arange(count), size), np.tile(np.arange(size), count)
        else:
            starts, here = (_vector(metadata, name) for name in ("ArraySegments", "ArrayIndices"))
            counts = np.diff(starts)
            if len(starts) != count + 1 or starts[0] != 0 or counts.min(initial=0) < 0 or starts[-1] != len(here) or len(here) > most:
                raise ValueError(f"a sparse tensor's level {position} has {len(starts)} starts and {len(here)} places, parents are {count}")
            parents = np.repeat(np.arange(count), counts)
        places = {known: place[parents] for known, place in places.items()}
        places[level] = here
        count = len(here)
    return sizes, places


def _vector(metadata: Any, name: str) -> Array:
    kind, table = getattr(metadata, f"{name}Type")(), getattr(metadata, name)()
    if kind not in _VECTORS or table is None:
        raise ValueError(f"a sparse tensor lacks its {name}")
    vector = _VECTORS[kind]()
    vector.Init(table.Bytes, table.Pos)
    array: Array = np.zeros(0, np.int64) if vector.ValuesIsNone() else vector.ValuesAsNumpy().astype(np.int64)
    return array
