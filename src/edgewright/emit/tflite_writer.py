"""Tensors, buffers, operators and their packing into the bytes of a .tflite file; what operators mean stands elsewhere."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgewright.emit.tflite_versions import dequantize_version, minimum_runtime
from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Graph, Level, Node, Shape, Value

IDENTIFIER = b"TFL3"
ALIGNMENT = 16
"""Of every buffer's bytes in the file, as the schema asks: weights are used where they lie."""
VERSION_BYTES = 16
_SCHEMA_VERSION = 3
_TYPES = {DType.FLOAT32: "FLOAT32", DType.FLOAT16: "FLOAT16", DType.INT2: "INT4", DType.INT3: "INT4", DType.INT4: "INT4",
          DType.INT8: "INT8", DType.INT16: "INT16", DType.INT32: "INT32"}
"""Kernels take no integers narrower than int4: those are written as int4, the same numbers."""

Arrange = Callable[[NDArray[Any]], NDArray[Any]]


class _Buffer(schema.BufferT):  # type: ignore[misc]
    """A buffer whose bytes are packed at a multiple of ALIGNMENT."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 (the schema's name)
        if self.data is None:
            schema.BufferStart(builder)
            return int(schema.BufferEnd(builder))
        builder.StartVector(1, len(self.data), ALIGNMENT)
        builder.head = builder.head - len(self.data)
        builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of the file: its index in the subgraph, and what later operators ask about it."""

    index: int
    shape: tuple[int, ...]
    type: str
    quant: Quant | None = None


class Subgraph:
    """Tensors and operators of one subgraph under construction."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []


class Writer:
    """Collects one .tflite file for ``graph``. The batch is written as 1: microcontrollers and NPUs take static shapes only.

    ``weights``: how they will be stored, a key of FORMS in emit/tflite.py, which does so once all operators are there.
    """

    def __init__(self, graph: Graph, weights: str = "plain") -> None:
        self.graph = graph
        self.weights = weights
        self.metadata: list[tuple[str, bytes]] = []
        self.subgraphs = [Subgraph("main")]
        self.codes: dict[tuple[str, int], int] = {}
        self.buffers: list[Any] = [_Buffer()]
        self.taken = set(graph.values)
        self._known: dict[bytes, int] = {}
        self._tensors: dict[tuple[str, str], Tensor] = {}

    # --- tensors ------------------------------------------------------------------------------------------------------------------

    def tensor(self, name: str, shape: Sequence[int], kind: str, *, data: bytes | None = None, quant: Quant | None = None, axis: int = 0,
               subgraph: int = 0) -> Tensor:
        """A new tensor; scales of a per-channel ``quant`` run along ``axis`` of ``shape``."""
        record = schema.TensorT()
        record.name = name
        record.shape = np.asarray(shape, np.int32)
        record.type = getattr(schema.TensorType, kind)
        record.buffer = 0 if data is None else self.buffer(data)
        if quant is not None:
            record.quantization = schema.QuantizationParametersT()
            record.quantization.scale = np.asarray(quant.scale, np.float32)
            record.quantization.zeroPoint = np.asarray(quant.zero_point, np.int64)
            record.quantization.quantizedDimension = axis if quant.axis is not None else 0
        tensors = self.subgraphs[subgraph].tensors
        tensors.append(record)
        return Tensor(len(tensors) - 1, tuple(shape), kind, quant)

    def variable(self, stem: str, shape: Sequence[int], kind: str, quant: Quant | None) -> Tensor:
        """A tensor that an operator keeps from call to call, at first zero."""
        tensor = self.tensor(self.name(stem), shape, kind, quant=quant)
        self.subgraphs[0].tensors[tensor.index].isVariable = True
        return tensor

    def value(self, name: str) -> Tensor:
        """The tensor of an activation, or of a constant that stands where one could."""
        if (name, "") not in self._tensors:
            value = self.graph.value(name)
            if self.graph.is_constant(name):
                self._tensors[name, ""] = self.constant(name, "", lambda array: array, 0)
            else:
                if value.quant is not None and self.graph.level is Level.QUANTIZED:
                    raise UnsupportedError(f"activation {name!r} of {self.graph.name!r} is quantized but not lowered to integers",
                                           hint="lower the network for a target first; only weights may be quantized in a float .tflite")
                chooses = name in self.graph.indices
                kind = _TYPES[DType.INT32 if chooses else value.dtype]
                self._tensors[name, ""] = self.tensor(name, batch_of_one(value.shape), kind, quant=None if chooses else value.quant)
        return self._tensors[name, ""]

    def constant(
        self, name: str, role: str, arrange: Arrange, axis: int, *, hybrid: bool = False, kind: str | None = None
    ) -> Tensor:
        """Constant ``name`` after ``arrange``, with the scales of its channels along ``axis``; one tensor a ``role``.

        ``kind``: the integer type that its reader asks for, where that is another than its own (a bias of 64 bits, int4 as int8).

        ``hybrid``: the reader takes symmetric int8 weights beside float activations. Elsewhere quantized constants of a float network, and
        float16 ones, pass a DEQUANTIZE.
        """
        key = (name, f"{role}{'h' if hybrid else ''}{kind or ''}c")
        if key not in self._tensors:
            self._tensors[key] = self._constant(self.graph.value(name), arrange, axis, hybrid, kind)
        return self._tensors[key]

    def _constant(self, value: Value, arrange: Arrange, axis: int, hybrid: bool, kind: str | None) -> Tensor:
        array = self.graph.array(value.name)
        quant, dtype = value.quant, value.dtype
        if self.graph.level is Level.QUANTIZED and quant is not None:
            array, dtype = quant.to_integer(array.astype(np.float32)), quant.dtype
        array = np.ascontiguousarray(arrange(array))
        data = _bytes(array, dtype) if kind is None else array.astype(f"<i{8 if kind == 'INT64' else 1}").tobytes()
        stored = self.tensor(self._unused(value.name), array.shape, kind or _TYPES[dtype], data=data, quant=quant, axis=axis)
        if self.graph.level is Level.INTEGER or dtype is DType.FLOAT32 or (hybrid and dtype is DType.INT8):
            return stored
        real = self.tensor(self.name(f"{value.name}_dequantized"), array.shape, "FLOAT32")
        per_channel = quant is not None and quant.axis is not None
        self.operator("DEQUANTIZE", [stored], [real], version=dequantize_version(stored.type, per_channel=per_channel))
        return real

    def _unused(self, name: str) -> str:
        """``name`` for the first tensor that is made of this value, another for later arrangements of it."""
        first = not any(key[0] == name for key in self._tensors)
        return name if first else self.name(name)

    def numbers(self, stem: str, numbers: Sequence[int] | NDArray[np.integer]) -> Tensor:
        """An int32 constant: a shape, axes, paddings."""
        array = np.asarray(numbers, np.int32)
        return self.tensor(self.name(stem), array.shape, "INT32", data=array.tobytes())

    def reals(self, stem: str, numbers: NDArray[Any] | float) -> Tensor:
        """A float32 constant of our own making."""
        array = np.asarray(numbers, np.float32)
        return self.tensor(self.name(stem), array.shape, "FLOAT32", data=array.tobytes())

    def like(self, tensor: Tensor, stem: str, shape: Sequence[int] | None = None) -> Tensor:
        """A new tensor between two operators, of the type and quantization of ``tensor``."""
        return self.tensor(self.name(stem), tensor.shape if shape is None else shape, tensor.type, quant=tensor.quant)

    def name(self, stem: str) -> str:
        """A tensor name that nothing has yet."""
        name, number = stem, 1
        while name in self.taken:
            name, number = f"{stem}_{number}", number + 1
        self.taken.add(name)
        return name

    # --- operators ----------------------------------------------------------------------------------------------------------------

    def operator(self, kind: str, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor], options: Any = None, *, version: int = 1,
                 subgraph: int = 0, intermediates: Sequence[Tensor] = ()) -> None:
        """Append an operator; None among ``inputs`` is an optional one that is absent."""
        record = schema.OperatorT()
        record.opcodeIndex = self.codes.setdefault((kind, version), len(self.codes))
        record.inputs = np.asarray([-1 if tensor is None else tensor.index for tensor in inputs], np.int32)
        record.outputs = np.asarray([tensor.index for tensor in outputs], np.int32)
        if intermediates:
            record.intermediates = np.asarray([tensor.index for tensor in intermediates], np.int32)
        if options is not None:
            record.builtinOptions = options
            record.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.subgraphs[subgraph].operators.append(record)

    def ins(self, node: Node) -> tuple[Value, ...]:
        return self.graph.ins(node)

    def outs(self, node: Node) -> tuple[Value, ...]:
        return self.graph.outs(node)

    # --- the file -----------------------------------------------------------------------------------------------------------------

    def finish(self) -> bytes:
        """The file's bytes; the same graph gives the same bytes."""
        model = schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.description = "Edgewright"
        model.operatorCodes = [_code(kind, version) for kind, version in self.codes]
        model.subgraphs = [_subgraph(subgraph) for subgraph in self.subgraphs]
        runtime = minimum_runtime(list(self.codes)).encode().ljust(VERSION_BYTES, b"\0")
        model.metadata = [self._metadata(name, data) for name, data in [("min_runtime_version", runtime), *self.metadata]]
        model.buffers = self.buffers
        builder = flatbuffers.Builder(sum(len(buffer.data or b"") for buffer in self.buffers) + 4096)
        builder.Finish(model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())

    def _metadata(self, name: str, data: bytes) -> Any:
        record = schema.MetadataT()
        record.name, record.buffer = name, self.buffer(data)
        return record

    def buffer(self, data: bytes) -> int:
        """The index of the buffer with these bytes."""
        if data not in self._known:
            self._known[data] = len(self.buffers)
            self.buffers.append(_Buffer(data=data))
        return self._known[data]


def batch_of_one(shape: Shape) -> tuple[int, ...]:
    """``shape`` with a symbolic batch as 1."""
    return tuple(1 if size is None else size for size in shape)


def file_name(name: str) -> str:
    """``name`` as a file name without an ending."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "network"


def _bytes(array: NDArray[Any], dtype: DType) -> bytes:
    if dtype.bits >= 8:
        return bytes(array.astype(dtype.numpy.newbyteorder("<"), copy=False).tobytes())
    flat = array.reshape(-1).astype(np.uint8) & 15
    padded = np.append(flat, np.zeros(len(flat) % 2, np.uint8))
    return bytes((padded[0::2] | padded[1::2] << 4).astype(np.uint8).tobytes())


def _code(kind: str, version: int) -> Any:
    code = schema.OperatorCodeT()
    name, _, custom = kind.partition(" ")
    number = getattr(schema.BuiltinOperator, name)
    code.builtinCode, code.customCode = number, custom or None
    code.deprecatedBuiltinCode = min(number, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
    code.version = version
    return code


def _subgraph(subgraph: Subgraph) -> Any:
    record = schema.SubGraphT()
    record.name = subgraph.name
    record.tensors = subgraph.tensors
    record.operators = subgraph.operators
    record.inputs = np.asarray(subgraph.inputs, np.int32)
    record.outputs = np.asarray(subgraph.outputs, np.int32)
    return record
