"""Weights with few values as tables and narrow indices, the compression of TensorFlow Lite Micro, in its two forms.

Indices have 1 to 7 bits, the highest bit first; values stand in one row, or in one row a channel where the weight has a scale a channel.
Tables: the weight's buffer holds the indices, another one the values, and the metadata COMPRESSION_METADATA, itself a FlatBuffer, list
which tensors these are; TensorFlow Lite Micro reads it where it was built with USE_TFLM_COMPRESSION, and unpacks a weight whenever its
layer runs. Decode: an operator TFLM_DECODE before the layer makes the weight of indices and values; no special build is needed, but the
operator among those that are linked. LiteRT refuses both. Source: docs/compression.md, compression/metadata.fbs, compression/decode.py and
lut.py of TensorFlow Lite Micro.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgewright.emit.tflite_weights import replace_data, weight_array, weight_tensors
from edgewright.emit.tflite_writer import Writer

KEY = "COMPRESSION_METADATA"
MOST_VALUES = 128
"""Of a channel: indices have 7 bits at most."""
OVERHEAD_BYTES = 64
"""What one more table takes in the file beside its numbers: a buffer, aligned, and its entry in the metadata."""
HEAD_BYTES = 16
DECODE = "CUSTOM TFLM_DECODE"
DECODE_BYTES = 256
"""The same of one that an operator unpacks: its head, two tensors, the operator."""


@dataclass(frozen=True)
class Table:
    """``values``: a row a channel, filled up with zeros; ``indices``: of all elements in the weight's order, packed."""

    bits: int
    values: NDArray[Any]
    indices: bytes

    @property
    def bytes(self) -> int:
        return self.values.nbytes + len(self.indices)


def table_of(array: NDArray[Any], axis: int | None) -> Table | None:
    """``array`` as a table, a row for each channel along ``axis`` (None: one row); None where a row has too many values."""
    rows = array.reshape(1, -1) if axis is None else np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    books = [np.unique(row) for row in rows]
    count = max(len(book) for book in books)
    if count > MOST_VALUES:
        return None
    bits = max(1, (count - 1).bit_length())
    values = np.zeros((len(books), count), array.dtype)
    for row, book in zip(values, books, strict=True):
        row[: len(book)] = book
    chosen = np.stack([np.searchsorted(book, row) for book, row in zip(books, rows, strict=True)])
    if axis is not None:
        others = [size for place, size in enumerate(array.shape) if place != axis]
        chosen = np.moveaxis(chosen.reshape(array.shape[axis], *others), 0, axis)
    digits = (chosen.reshape(-1, 1) >> np.arange(bits - 1, -1, -1)) & 1
    return Table(bits, values, np.packbits(digits.astype(np.uint8)).tobytes())


def table_pays(array: NDArray[Any], axis: int | None, plain_bytes: int) -> bool:
    """Whether a table of ``array`` is smaller than ``plain_bytes``, everything counted."""
    table = table_of(array, axis)
    return table is not None and table.bytes + OVERHEAD_BYTES < plain_bytes


def store_tables(writer: Writer) -> None:
    """Weights as tables wherever that is smaller, and the metadata that tell so."""
    entries = []
    for index, _, table in _tables(writer, OVERHEAD_BYTES):
        replace_data(writer, index, table.indices)
        entries.append((index, writer.buffer(table.values.tobytes()), table.bits))
    if entries:
        writer.metadata.append((KEY, _metadata(entries)))


def store_decoded(writer: Writer) -> None:
    """Weights that one layer reads as what TFLM_DECODE makes of a table, wherever that is smaller."""
    main = writer.subgraphs[0]
    for index, readers, table in list(_tables(writer, DECODE_BYTES)):
        if len(readers) > 1:
            continue
        # Kind 0 (a table), version 1 of the head; version 1 of the table, bits, values a channel; the rest of the head is reserved.
        head = bytes([0, 1, 0, 0, 1, table.bits, table.values.shape[1]]).ljust(HEAD_BYTES, b"\0")
        parts = [writer.tensor(writer.name(name), (len(data),), "UINT8", data=data)
                 for name, data in (("indices", table.indices), ("table", head + table.values.tobytes()))]
        writer.buffers[main.tensors[index].buffer].data = None
        main.tensors[index].buffer = 0
        operator = schema.OperatorT()
        operator.opcodeIndex = writer.codes.setdefault((DECODE, 1), len(writer.codes))
        operator.inputs = np.asarray([part.index for part in parts], np.int32)
        operator.outputs = np.asarray([index], np.int32)
        main.operators.insert(next(place for place, other in enumerate(main.operators) if index in other.inputs.tolist()), operator)


def _tables(writer: Writer, overhead: int) -> Iterator[tuple[int, tuple[str, ...], Table]]:
    """Weights that are smaller as a table by more than ``overhead``, with what reads them."""
    for index, readers in weight_tensors(writer):
        record, array = writer.subgraphs[0].tensors[index], weight_array(writer, index)
        quant = record.quantization
        axis = int(quant.quantizedDimension) if quant is not None and len(quant.scale) > 1 else None
        if array.size == 0 or axis not in (None, 0, array.ndim - 1):
            continue
        table = table_of(array, axis)
        if table is not None and table.bytes + overhead < array.nbytes:
            yield index, readers, table


def _metadata(entries: list[tuple[int, int, int]]) -> bytes:
    """Table Metadata of the schema: one subgraph, its tensors by number, buffer of values and width."""
    builder = flatbuffers.Builder(64 + 32 * len(entries))
    tables = []
    for tensor, buffer, bits in entries:
        builder.StartObject(3)
        builder.PrependInt32Slot(0, tensor, 0)
        builder.PrependUint32Slot(1, buffer, 0)
        builder.PrependUint8Slot(2, bits, 0)
        tables.append(builder.EndObject())
    tensors = _offsets(builder, tables)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, tensors, 0)
    subgraphs = _offsets(builder, [builder.EndObject()])
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(1, subgraphs, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def _offsets(builder: flatbuffers.Builder, tables: list[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())
