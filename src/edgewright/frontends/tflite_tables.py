"""Weights that TensorFlow Lite Micro keeps as tables of values and narrow indices; its metadata say which tensors these are.

Errors of damaged bytes are ValueError, IndexError or struct.error, which frontends/tflite_file.py words. Source: compression/metadata.fbs
and docs/compression.md of TensorFlow Lite Micro.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from flatbuffers import encode, packer
from flatbuffers import number_types as types
from flatbuffers.table import Table
from numpy.typing import NDArray

KEY = "COMPRESSION_METADATA"
VERSION = 1
MOST_BITS = 7
HEAD_BYTES = 16
_NUMPY = {"FLOAT32": "<f4", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8"}


@dataclass(frozen=True)
class TableEntry:
    """A compressed tensor: the buffer of its values, and the bits of an index."""

    buffer: int
    bits: int


def read_entries(data: bytes) -> dict[tuple[int, int], TableEntry]:
    """(Subgraph, tensor) → its entry, from the bytes of the metadata."""
    root = Table(data, encode.Get(packer.uoffset, data, 0))
    version = _number(root, 0, types.Uint32Flags, VERSION)
    if version > VERSION:
        raise ValueError(f"{KEY} has version {version}, known is {VERSION}")
    found = {}
    for number, subgraph in enumerate(_tables(root, 1)):
        for entry in _tables(subgraph, 0):
            bits = _number(entry, 2, types.Uint8Flags, 0)
            if not 1 <= bits <= MOST_BITS:
                raise ValueError(f"{KEY} has indices of {bits} bits, expected 1 to {MOST_BITS}")
            found[number, _number(entry, 0, types.Int32Flags, 0)] = TableEntry(_number(entry, 1, types.Uint32Flags, 0), bits)
    return found


def _tables(table: Table, field: int) -> list[Table]:
    place = table.Offset(4 + 2 * field)
    if place == 0:
        return []
    start, count = table.Vector(place), table.VectorLen(place)
    if start + 4 * count > len(table.Bytes):
        raise ValueError(f"{KEY} claims {count} entries, more than it can hold")
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(count)]


def _number(table: Table, field: int, kind: Any, default: int) -> int:
    place = table.Offset(4 + 2 * field)
    return default if place == 0 else int(table.Get(kind, table.Pos + place))


def unpack_decode(indices: NDArray[Any], table: NDArray[Any], kind: str, shape: tuple[int, ...], axis: int | None) -> NDArray[Any]:
    """What TFLM_DECODE makes of ``indices`` and ``table`` (bytes): a head, then the values."""
    head = table[:HEAD_BYTES].tolist()
    if len(head) < HEAD_BYTES or head[1] != 1 or head[4] != 1:
        raise ValueError("a table whose head is cut or of an unknown version")
    bits, stride, values = head[5] & MOST_BITS, head[6], table[HEAD_BYTES:].tobytes()
    channels = 1 if axis is None else shape[axis]
    if bits == 0 or len(values) != channels * stride * np.dtype(_NUMPY.get(kind, "i1")).itemsize:
        raise ValueError(f"{len(values)} bytes of values for {channels} channels of {stride}, indices of {bits} bits")
    return unpack_table(memoryview(indices.tobytes()), memoryview(values), bits, kind, shape, axis)


def unpack_table(indices: memoryview, values: memoryview, bits: int, kind: str, shape: tuple[int, ...], axis: int | None) -> NDArray[Any]:
    """The numbers of a weight of ``shape``: each ``bits`` wide index looked up among its channel's values (``axis``; None: one channel)."""
    if kind not in _NUMPY:
        raise ValueError(f"a table of {kind}, known are {', '.join(_NUMPY)}")
    count = math.prod(shape)
    if len(indices) != -(-count * bits // 8):
        raise ValueError(f"{len(indices)} bytes of indices, {count} of {bits} bits are needed")
    table = np.frombuffer(values, _NUMPY[kind])
    channels = 1 if axis is None else shape[axis]
    if axis not in (None, 0, len(shape) - 1) or channels == 0 or len(table) == 0 or len(table) % channels:
        raise ValueError(f"{len(table)} values for {channels} channels along axis {axis} of shape {list(shape)}")
    digits = np.unpackbits(np.frombuffer(indices, np.uint8), count=count * bits).reshape(count, bits)
    chosen = np.zeros(count, np.int64)
    for digit in digits.T:
        chosen = 2 * chosen + digit
    stride = len(table) // channels
    if chosen.max(initial=0) >= stride:
        raise ValueError(f"index {chosen.max()} into a table of {stride} values")
    if axis is not None:
        rows = np.arange(channels).reshape([channels if place == axis else 1 for place in range(len(shape))])
        chosen = chosen + (stride * np.broadcast_to(rows, shape)).reshape(-1)
    return table[chosen].reshape(shape)
