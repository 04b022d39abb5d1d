"""A .tflite file as plain records, read with distrust: whatever the bytes say, the answer is records or a ModelError, in linear time.

The schema's accessors check no bounds, and a few bytes can point a million times at one table. So every vector is measured against the file
before it is walked, tables are counted, and large arrays stay views into the file until somebody needs them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers.table import Table
from numpy.typing import NDArray

from edgewright.errors import ModelError
from edgewright.frontends.tflite_sparse import unpack_sparse
from edgewright.frontends.tflite_tables import KEY, TableEntry, read_entries, unpack_table

IDENTIFIER = b"TFL3"
MOST_TABLES = 200_000
_TABLE_BYTES = 16
"""A table and what points at it take at least as much, unless tables are shared to make a small file long to read."""
MOST_ELEMENTS = 1 << 28
MOST_AXES = 8
MOST_NAME_BYTES = 512
MOST_EXPANSION = 512
"""Of packed weights: the bytes that they take while they are unpacked, for one of the file."""
SPARE_BYTES = 256 << 20
_ELEMENT_BYTES = 32
"""At most, of an element that is being unpacked: its number and a few places."""
DAMAGED = "the file is damaged or was not written by a TensorFlow Lite converter; export it again"

BITS = {"FLOAT32": 32, "FLOAT16": 16, "FLOAT64": 64, "INT4": 4, "INT8": 8, "UINT8": 8, "INT16": 16, "INT32": 32, "INT64": 64, "BOOL": 8}
"""Bits of one element of the types whose numbers can be read."""
_NUMPY = {"FLOAT32": "<f4", "FLOAT16": "<f2", "FLOAT64": "<f8", "INT8": "i1", "UINT8": "u1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
          "BOOL": "u1"}
_TYPES = {number: name for name, number in vars(schema.TensorType).items() if not name.startswith("_")}
_OPERATORS = {number: name for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")}

Options = TypeVar("Options")


def damaged(message: str) -> ModelError:
    """The error of a file that contradicts itself."""
    return ModelError(message, hint=DAMAGED)


@dataclass(frozen=True, eq=False)
class TensorRecord:
    """One tensor as the file has it. ``shape`` has 1 where ``signature`` has -1; ``data`` is None where numbers come at run time.

    ``scale`` and ``zero_point`` are empty where the tensor is not quantized; ``exotic`` names a storage that nothing here can read.
    ``variable``: an operator keeps it from call to call. ``unpack`` makes the numbers of what is stored as a table or without zeros.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    type: str
    data: memoryview | None
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int
    exotic: str = ""
    variable: bool = False
    unpack: Callable[[], NDArray[np.generic]] | None = None
    sparse: bool = False

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    def array(self) -> NDArray[np.generic]:
        """The numbers of a constant tensor (int4 as int8, one a byte); ModelError where the buffer does not fit the shape."""
        if self.data is None or self.type not in BITS:
            raise damaged(f"tensor {self.name!r} ({self.type}) holds no numbers that can be read")
        if self.unpack is not None:
            return self._unpacked
        expected = (self.elements * BITS[self.type] + 7) // 8
        if len(self.data) != expected:
            raise damaged(f"tensor {self.name!r} has {len(self.data)} bytes, its shape {list(self.shape)} of {self.type} needs {expected}")
        if self.type == "INT4":
            packed = np.frombuffer(self.data, np.uint8)
            nibbles = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[: self.elements].astype(np.int8)
            return ((nibbles ^ 8) - 8).astype(np.int8).reshape(self.shape)
        return np.frombuffer(self.data, _NUMPY[self.type]).reshape(self.shape)

    @cached_property
    def _unpacked(self) -> NDArray[np.generic]:
        assert self.unpack is not None
        return _guarded(self.unpack)


@dataclass(frozen=True, eq=False)
class Operation:
    """One operator as the file has it: ``kind`` in the schema's spelling, tensors by index (-1: an optional input that is absent)."""

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    table: Any = field(repr=False, default=None)

    def options(self, kind: type[Options]) -> Options:
        """The operator's options; the schema's defaults where the file has none. ModelError where they are another operator's."""
        found = _guarded(lambda: _options(self.table))
        if found is None:
            return kind()
        if not isinstance(found, kind):
            raise damaged(f"{self.kind} number {self.index} carries {type(found).__name__}, expected {kind.__name__}")
        return found


    def broken(self, message: str) -> ModelError:
        """The error of an operator that contradicts itself or the file."""
        return damaged(f"{self.kind} number {self.index}: {message}")


@dataclass(frozen=True, eq=False)
class Subgraph:
    """Tensors, and operators in execution order."""

    name: str
    tensors: tuple[TensorRecord, ...]
    operations: tuple[Operation, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def chooses(self, index: int) -> bool:
        """Whether tensor ``index`` holds integers that are read to choose rows of a table, and for nothing else."""
        readers = [(operation.kind, place) for operation in self.operations for place, name in enumerate(operation.inputs) if name == index]
        return self.tensors[index].type in ("INT32", "INT64") and bool(readers) and {*readers} <= {("GATHER", 1), ("EMBEDDING_LOOKUP", 0)}


def read_tflite(data: bytes) -> tuple[Subgraph, ...]:
    """All subgraphs of a .tflite file; the first is the network. ModelError where the bytes are no such file."""
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        what = "it is empty" if not data else f"it starts with {data[:8]!r}, expected TFL3 at byte 4"
        raise ModelError(f"this is no .tflite file: {what}", hint="give a TensorFlow Lite model; other formats have their own endings")
    return _guarded(lambda: _Reader(data).read())


Result = TypeVar("Result")


def _guarded(read: Callable[[], Result]) -> Result:
    """What the schema's accessors raise on bad offsets, as a ModelError."""
    try:
        return read()
    except (struct.error, IndexError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise damaged(f"the .tflite file cannot be read: {error}") from error


def _options(operator: Any) -> Any:
    table = operator.BuiltinOptions()
    if table is None or operator.BuiltinOptionsType() == 0:
        return None
    return schema.BuiltinOptionsCreator(operator.BuiltinOptionsType(), Table(table.Bytes, table.Pos))


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.model = schema.Model.GetRootAs(data, 0)
        self.left_bytes = min(len(data), MOST_TABLES * _TABLE_BYTES)
        self.left_unpacked = SPARE_BYTES + MOST_EXPANSION * len(data)
        self.entries: dict[tuple[int, int], TableEntry] = {}

    def read(self) -> tuple[Subgraph, ...]:
        kinds = [self._kind(self.model.OperatorCodes(i)) for i in range(self._count(self.model.OperatorCodesLength()))]
        count = self._count(self.model.SubgraphsLength())
        if count == 0:
            raise damaged("the .tflite file holds no subgraph")
        for metadata in (self.model.Metadata(i) for i in range(self._count(self.model.MetadataLength()))):
            if _text(metadata.Name()) == KEY and (stored := self._buffer(metadata.Buffer())) is not None:
                self.entries = read_entries(bytes(stored))
        return tuple(self._subgraph(self.model.Subgraphs(i), kinds, i) for i in range(count))

    def _count(self, length: int, entry_bytes: int = _TABLE_BYTES) -> int:
        """``length``, if the file can hold as many entries besides those that were counted before."""
        self.left_bytes -= length * entry_bytes
        if self.left_bytes < 0:
            raise damaged(f"the .tflite file claims {length} entries in a table, more than it can hold")
        return length

    def _kind(self, code: Any) -> str:
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = _OPERATORS.get(number, f"operator {number}")
        return f"CUSTOM {_text(code.CustomCode())}" if kind == "CUSTOM" else kind

    def _subgraph(self, graph: Any, kinds: list[str], number: int) -> Subgraph:
        tensors = tuple(self._tensor(graph.Tensors(i), i, self.entries.get((number, i))) for i in range(self._count(graph.TensorsLength())))
        operations = tuple(self._operation(graph.Operators(i), i, kinds, len(tensors)) for i in range(self._count(graph.OperatorsLength())))
        inputs, outputs = (self._indices(graph, side, len(tensors)) for side in ("Inputs", "Outputs"))
        if -1 in (*inputs, *outputs):
            raise damaged("the .tflite file names an absent tensor as input or output")
        return Subgraph(_text(graph.Name()), tensors, operations, inputs, outputs)

    def _indices(self, owner: Any, side: str, tensors: int) -> tuple[int, ...]:
        self._count(getattr(owner, f"{side}Length")(), 4)
        indices = tuple(_numbers(owner, side, np.int32).tolist())
        if any(not -1 <= index < tensors for index in indices):
            raise damaged(f"the .tflite file names tensor {next(i for i in indices if not -1 <= i < tensors)}, it has {tensors}")
        return indices

    def _operation(self, operator: Any, index: int, kinds: list[str], tensors: int) -> Operation:
        code = operator.OpcodeIndex()
        if not 0 <= code < len(kinds):
            raise damaged(f"operator number {index} has code {code}, the .tflite file lists {len(kinds)}")
        return Operation(index, kinds[code], self._indices(operator, "Inputs", tensors), self._indices(operator, "Outputs", tensors),
                         operator)

    def _tensor(self, tensor: Any, index: int, entry: TableEntry | None) -> TensorRecord:
        name = _text(tensor.Name()) or f"tensor_{index}"
        if tensor.ShapeLength() > MOST_AXES or tensor.ShapeSignatureLength() not in (0, tensor.ShapeLength()):
            raise damaged(f"tensor {name!r} has {tensor.ShapeLength()} axes and {tensor.ShapeSignatureLength()} in its signature, "
                          f"at most {MOST_AXES} can be read")
        shape = tuple(_numbers(tensor, "Shape", np.int32).tolist())
        signature = tuple(_numbers(tensor, "ShapeSignature", np.int32).tolist()) or shape
        if any(size < 0 for size in shape) or math.prod(shape) > MOST_ELEMENTS:
            raise damaged(f"tensor {name!r} has shape {list(shape)}; sizes must not be negative, nor the elements more than "
                          f"{MOST_ELEMENTS}")
        scale, zero_point, axis, exotic = self._quantization(tensor.Quantization())
        kind, data = _TYPES.get(tensor.Type(), f"type {tensor.Type()}"), self._buffer(tensor.Buffer())
        unpack: Callable[[], NDArray[np.generic]] | None = None
        sparsity = tensor.Sparsity()
        if sparsity is not None and kind in _NUMPY and data is not None:
            unpack = self._sparse(data, sparsity, kind, shape)
        elif sparsity is not None:
            exotic = f"sparse storage of {kind}"
        elif entry is not None and data is not None:
            unpack = self._table(data, entry, kind, shape, axis if len(scale) > 1 else None)
        if len(scale) != len(zero_point):
            if len(zero_point):
                raise damaged(f"tensor {name!r} has {len(scale)} scales and {len(zero_point)} zero points")
            zero_point = np.zeros(len(scale), np.int64)
        return TensorRecord(index, name, shape, signature, kind, data, scale, zero_point, axis, exotic, bool(tensor.IsVariable()), unpack,
                            sparsity is not None)

    def _sparse(self, data: memoryview, sparsity: Any, kind: str, shape: tuple[int, ...]) -> Callable[[], NDArray[np.generic]]:
        self._unpacks(shape)
        return lambda: unpack_sparse(np.frombuffer(data, _NUMPY[kind]), sparsity, shape)

    def _table(self, data: memoryview, entry: TableEntry, kind: str, shape: tuple[int, ...],
               axis: int | None) -> Callable[[], NDArray[np.generic]]:
        self._unpacks(shape)
        values = self._buffer(entry.buffer)
        return lambda: unpack_table(data, memoryview(b"") if values is None else values, entry.bits, kind, shape, axis)

    def _unpacks(self, shape: tuple[int, ...]) -> None:
        """Count what will be unpacked: shared buffers let a small file ask for a lot."""
        self.left_unpacked -= _ELEMENT_BYTES * math.prod(shape)
        if self.left_unpacked < 0:
            raise damaged("the packed weights of this .tflite file take far more memory than the file is long")

    def _quantization(self, quantization: Any) -> tuple[NDArray[np.float32], NDArray[np.int64], int, str]:
        if quantization is None:
            return np.zeros(0, np.float32), np.zeros(0, np.int64), 0, ""
        exotic = "block-wise or custom quantization" if quantization.DetailsType() != 0 else ""
        scale = _numbers(quantization, "Scale", np.float32)
        zero_point = _numbers(quantization, "ZeroPoint", np.int64)
        return scale, zero_point, quantization.QuantizedDimension(), exotic

    def _buffer(self, index: int) -> memoryview | None:
        if index >= self.model.BuffersLength():
            raise damaged(f"the .tflite file names buffer {index}, it has {self.model.BuffersLength()}")
        buffer = self.model.Buffers(index)
        start, size = buffer.Offset(), buffer.Size()
        if start > 1 or size > 1:
            if start + size > len(self.data):
                raise ModelError(f"buffer {index} lies at bytes {start} to {start + size}, the file ends at {len(self.data)}",
                                 hint="weights stored outside of the file cannot be read; export them inside")
            return memoryview(self.data)[start : start + size] if size else None
        data = _numbers(buffer, "Data", np.uint8)
        return memoryview(data.tobytes()) if len(data) else None


def _numbers(owner: Any, name: str, kind: type[np.generic]) -> NDArray[Any]:
    """A vector of numbers as a view into the file; empty where it is absent."""
    if getattr(owner, f"{name}IsNone")():
        return np.zeros(0, kind)
    array: NDArray[Any] = getattr(owner, f"{name}AsNumpy")()
    return array


def _text(raw: bytes | None) -> str:
    return "" if raw is None else raw[:MOST_NAME_BYTES].decode("utf-8", "replace")
