"""An ONNX file as plain data, checked: every size, index and path in it is hostile until it has been looked at."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from edgewright.errors import ModelError, UnsupportedError

Array = NDArray[np.generic]
LEAST_OPSET, MOST_OPSET = 13, 25
MOST_BYTES = 4 << 30
MOST_DEPTH = 8
DAMAGED = "the file is damaged, or is not an ONNX model"
BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 16: 16, 21: 4, 22: 4}
"""Bits of an element in raw data, of the types (onnx.TensorProto.DataType) that are read."""
TYPED_FIELDS = {1: "float_data", 7: "int64_data", 11: "double_data"}
"""The field that holds numbers outside of raw data; int32_data for all other types."""
DOMAINS = ("", "ai.onnx")
METADATA_KEY = "edgewright"


@dataclass(frozen=True)
class OnnxNode:
    """One node; ``graphs`` are its sub-graphs by attribute name. An absent optional input is an empty name."""

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    graphs: Mapping[str, OnnxGraph]

    @property
    def kind(self) -> str:
        """The operator as a table spells it: other domains than ONNX's own stand before it."""
        return self.op if self.domain in DOMAINS else f"{self.domain}.{self.op}"


@dataclass(frozen=True)
class OnnxInput:
    """A graph input: None stands for an axis without a fixed size; ``dtype`` is an onnx.TensorProto.DataType."""

    name: str
    shape: tuple[int | None, ...]
    dtype: int


@dataclass(frozen=True)
class OnnxGraph:
    """Nodes sorted so that each comes after what it reads."""

    name: str
    inputs: tuple[OnnxInput, ...]
    outputs: tuple[str, ...]
    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, Array]
    orders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of files that Edgewright wrote: how the axes of inputs and outputs stand in the graph that they came from."""


@dataclass
class _Reader:
    """Where external data may lie, and how many bytes of constants may still come."""

    folder: Path | None
    left: int = MOST_BYTES
    opened: dict[str, bytes] = field(default_factory=dict)


def read_onnx(source: str | Path | bytes | onnx.ModelProto) -> OnnxGraph:
    """The graph of an ONNX model. External data is read from the model's own folder and nowhere else; ModelError says what is wrong."""
    model, folder = _parse(source)
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = next((versions[domain] for domain in DOMAINS if domain in versions), None)
    if opset is None or not model.HasField("graph") or not model.graph.node:
        raise ModelError("it holds no ONNX graph", hint=DAMAGED)
    if not LEAST_OPSET <= opset <= MOST_OPSET:
        raise ModelError(
            f"its operators are of opset {opset}, read are {LEAST_OPSET} to {MOST_OPSET}", hint="convert it with onnx.version_converter"
        )
    try:
        return dataclasses.replace(_graph(model.graph, _Reader(folder), 0), orders=_orders(model))
    except (ValueError, TypeError, OverflowError, UnicodeDecodeError, AttributeError, MemoryError) as error:
        raise ModelError(f"the ONNX model cannot be read: {error}", hint=DAMAGED) from error


def _parse(source: str | Path | bytes | onnx.ModelProto) -> tuple[onnx.ModelProto, Path | None]:
    if isinstance(source, onnx.ModelProto):
        return source, None
    folder = None
    if isinstance(source, (str, Path)):
        path = Path(source)
        try:
            if path.stat().st_size > MOST_BYTES:
                raise ModelError(
                    f"{path.name} is larger than {MOST_BYTES >> 30} GiB", hint="networks of this size do not fit an edge device"
                )
            source = path.read_bytes()
        except OSError as error:
            raise ModelError(f"cannot read {path.name}: {error.strerror or error}", hint="give the path of an .onnx file") from error
        folder = path.resolve().parent
    model = onnx.ModelProto()
    try:
        model.ParseFromString(source)
    except (DecodeError, RecursionError, ValueError, MemoryError) as error:
        raise ModelError("the bytes are not an ONNX model", hint=DAMAGED) from error
    return model, folder


def _orders(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """What the metadata say of the axes, where they do and make sense."""
    text = next((entry.value for entry in model.metadata_props if entry.key == METADATA_KEY), "{}")
    orders = {}
    try:
        records = json.loads(text)
        for record in [*records.get("inputs", ()), *records.get("outputs", ())]:
            order = [int(axis) for axis in record["order"]]
            if sorted(order) == list(range(len(order))):
                orders[str(record["name"])] = tuple(order.index(axis) for axis in range(len(order)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return orders


def _graph(graph: onnx.GraphProto, reader: _Reader, depth: int) -> OnnxGraph:
    if depth > MOST_DEPTH:
        raise ModelError("its sub-graphs are nested too deeply", hint=DAMAGED)
    if graph.sparse_initializer:
        raise UnsupportedError("it has sparse initializers", hint="store weights densely")
    constants = {}
    for tensor in graph.initializer:
        if not tensor.name or tensor.name in constants:
            raise ModelError(f"initializer {tensor.name!r} has no name of its own", hint=DAMAGED)
        constants[tensor.name] = _array(tensor, reader)
    inputs = tuple(_input(entry) for entry in graph.input if entry.name not in constants)
    if len({entry.name for entry in inputs}) != len(inputs):
        raise ModelError("two inputs have the same name", hint=DAMAGED)
    nodes = [_node(node, index, reader, depth) for index, node in enumerate(graph.node)]
    outputs = tuple(entry.name for entry in graph.output)
    if not outputs:
        raise ModelError("the graph has no outputs", hint=DAMAGED)
    return OnnxGraph(graph.name, inputs, outputs, _sorted(nodes, {*constants, *(entry.name for entry in inputs)}, depth > 0), constants)


def _node(node: onnx.NodeProto, index: int, reader: _Reader, depth: int) -> OnnxNode:
    attributes: dict[str, Any] = {}
    graphs: dict[str, OnnxGraph] = {}
    for attribute in node.attribute:
        kind = onnx.AttributeProto.AttributeType
        if attribute.type == kind.GRAPH:
            graphs[attribute.name] = _graph(attribute.g, reader, depth + 1)
        elif attribute.type == kind.TENSOR:
            attributes[attribute.name] = _array(attribute.t, reader)
        elif attribute.type in (kind.INT, kind.INTS, kind.FLOAT, kind.FLOATS, kind.STRING, kind.STRINGS):
            attributes[attribute.name] = _plain(onnx.helper.get_attribute_value(attribute))
    name = node.name or next((output for output in node.output if output), f"{node.op_type}_{index}")
    return OnnxNode(node.op_type, node.domain, name, tuple(node.input), tuple(node.output), attributes, graphs)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value if isinstance(value, (int, float, str)) else [_plain(item) for item in value]


def _input(entry: onnx.ValueInfoProto) -> OnnxInput:
    if not entry.type.HasField("tensor_type") or not entry.type.tensor_type.HasField("shape"):
        raise UnsupportedError(
            f"input {entry.name!r} is not a tensor with a known number of axes", hint="export the model with example inputs"
        )
    tensor = entry.type.tensor_type
    shape = tuple(axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else None for axis in tensor.shape.dim)
    return OnnxInput(entry.name, shape, tensor.elem_type)


def _sorted(nodes: Sequence[OnnxNode], known: set[str], inside: bool) -> tuple[OnnxNode, ...]:
    """Nodes after what they read (they should stand so, not all exporters care); ModelError for cycles and names without a source."""
    maker: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.outputs:
            if name and (name in maker or name in known):
                raise ModelError(f"value {name!r} has two sources", hint=DAMAGED)
            if name:
                maker[name] = index
    waits = [len({maker[name] for name in _reads(node) if name in maker}) for node in nodes]
    readers: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        for name in node.inputs:
            if name and name not in maker and name not in known and not inside:
                raise ModelError(f"{node.op} {node.name!r} reads {name!r}, which nothing computes", hint=DAMAGED)
        for source in {maker[name] for name in _reads(node) if name in maker}:
            readers.setdefault(source, []).append(index)
    ready = deque(index for index, count in enumerate(waits) if not count)
    order = []
    while ready:
        index = ready.popleft()
        order.append(index)
        for reader in readers.get(index, ()):
            waits[reader] -= 1
            if not waits[reader]:
                ready.append(reader)
    if len(order) != len(nodes):
        raise ModelError("the graph has a cycle", hint=DAMAGED)
    if all(maker.get(name, -1) < index for index, node in enumerate(nodes) for name in _reads(node)):
        return tuple(nodes)
    return tuple(nodes[index] for index in order)


def _reads(node: OnnxNode) -> set[str]:
    """Names that a node and its sub-graphs read."""
    names = {name for name in node.inputs if name}
    for graph in node.graphs.values():
        names.update(name for inner in graph.nodes for name in _reads(inner))
        names.update(graph.outputs)
    return names


def _array(tensor: onnx.TensorProto, reader: _Reader) -> Array:
    """The numbers of a tensor: its sizes are checked against what the file really holds before anything is made of them."""
    if tensor.data_type not in BITS:
        raise UnsupportedError(
            f"constant {tensor.name!r} has element type {tensor.data_type}", hint="use float, float16 or integer constants"
        )
    if any(size < 0 for size in tensor.dims):
        raise ModelError(f"constant {tensor.name!r} has shape {list(tensor.dims)}", hint=DAMAGED)
    elements = math.prod(tensor.dims)
    expected = (elements * BITS[tensor.data_type] + 7) // 8
    reader.left -= expected
    if reader.left < 0:
        raise ModelError(f"its constants take more than {MOST_BYTES >> 30} GiB", hint="networks of this size do not fit an edge device")
    raw: bytes | None = tensor.raw_data if tensor.HasField("raw_data") else None
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raw = _external(tensor, expected, reader)
    if raw is None:
        entries = len(getattr(tensor, TYPED_FIELDS.get(tensor.data_type, "int32_data")))
        if entries != (elements if BITS[tensor.data_type] >= 8 else (elements + 1) // 2):
            raise ModelError(f"constant {tensor.name!r} of shape {list(tensor.dims)} holds {entries} numbers", hint=DAMAGED)
        array: Array = onnx.numpy_helper.to_array(tensor)
    else:
        if len(raw) != expected:
            raise ModelError(f"constant {tensor.name!r} of shape {list(tensor.dims)} holds {len(raw)} bytes, not {expected}", hint=DAMAGED)
        array = onnx.numpy_helper.to_array(onnx.TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=raw))
    return _common_type(array, tensor.data_type)


def _common_type(array: Array, kind: int) -> Array:
    """float16, bfloat16 and double as float32; 4-bit integers as 8-bit ones."""
    if kind in (10, 11, 16):
        return array.astype(np.float32)
    if kind in (21, 22):
        return array.astype(np.uint8 if kind == 21 else np.int8)
    return array


def _external(tensor: onnx.TensorProto, expected: int, reader: _Reader) -> bytes:
    """Bytes of a tensor that lies in a file beside the model."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if reader.folder is None:
        raise ModelError(
            f"constant {tensor.name!r} lies in another file, {location!r}", hint="give the path of the .onnx file, not its bytes"
        )
    path = Path(os.path.realpath(reader.folder / location))
    if (
        not location
        or "\0" in location
        or os.path.isabs(location)
        or not path.is_relative_to(os.path.realpath(reader.folder))
        or not path.is_file()
    ):
        raise ModelError(
            f"constant {tensor.name!r} lies in {location!r}, which is no file in the model's folder",
            hint="keep the model and its external data in one folder",
        )
    offset, length = int(entries.get("offset", "0") or 0), int(entries.get("length", str(expected)) or expected)
    if offset < 0 or length != expected or offset + length > path.stat().st_size:
        raise ModelError(
            f"constant {tensor.name!r} should be {expected} bytes at {offset} of {location!r}, which has {path.stat().st_size}",
            hint=DAMAGED,
        )
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)
