"""A graph in one .npz file: a JSON header and the constants. No pickle; a file that breaks a rule is a ModelError."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import types
import typing
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Constant, Graph, Level, Node, State, Structure, Value
from edgewright.ir.operator import Operator
from edgewright.ir.verify import verify

FORMAT = 1
LARGEST_BYTES = 1 << 32
"""Unpacked, a file has at most so many bytes."""
DAMAGE = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, MemoryError,
          zipfile.BadZipFile, zlib.error, struct.error)
"""What reading a damaged or hostile file can raise."""


def save_graph(graph: Graph, path: str | Path) -> Path:
    """Write ``graph`` to ``path`` (.npz), whole or not at all."""
    header: dict[str, Any] = {
        "format": FORMAT, "name": graph.name, "level": graph.level.value, "inputs": graph.inputs, "outputs": graph.outputs,
        "nodes": [_node_record(node) for node in graph.nodes],
        "values": [_value_record(value) for value in graph.values.values()],
        "states": [dataclasses.asdict(state) for state in graph.states],
        "constants": [],
    }
    arrays: dict[str, NDArray[np.generic]] = {}
    for index, (name, constant) in enumerate(graph.constants.items()):
        arrays[f"c{index}"] = constant.array
        record: dict[str, Any] = {"name": name}
        if constant.structure is not None:
            record["structure"] = {part: getattr(constant.structure, part) for part in ("pattern", "bits", "group")}
            for part in ("mask", "codebook"):
                array = getattr(constant.structure, part)
                if array is not None:
                    arrays[f"{part}{index}"] = array
        header["constants"].append(record)
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    os.replace(partial, path)
    return path


def load_graph(path: str | Path) -> Graph:
    """Read what :func:`save_graph` wrote; ModelError where the file is missing, damaged or breaks a rule."""
    try:
        _check_size(path)
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes().decode())
            if header["format"] != FORMAT:
                raise ModelError(f"{path} has graph format {header['format']}, this version reads {FORMAT}",
                                 hint="save it again with this version")
            constants = {_text(record["name"]): _read_constant(file, index, record) for index, record in enumerate(header["constants"])}
        return verify(_read_graph(header, constants))
    except DAMAGE as error:
        raise ModelError(f"cannot read a graph from {path}: {error}", hint="it must be a file that Edgewright saved") from error


def _check_size(path: str | Path) -> None:
    """Refuse a small file that would unpack to a huge one."""
    with zipfile.ZipFile(path) as file:
        unpacked = sum(member.file_size for member in file.infolist())
    if unpacked > LARGEST_BYTES:
        raise ModelError(f"{path} unpacks to {unpacked} bytes, more than {LARGEST_BYTES}", hint="it is damaged, or was made to do harm")


def _read_graph(header: dict[str, Any], constants: dict[str, Constant]) -> Graph:
    values = [_read_value(record) for record in header["values"]]
    nodes = tuple(Node(_text(node["name"]), _operator(node["kind"], node["attributes"]), _texts(node["inputs"]), _texts(node["outputs"]))
                  for node in header["nodes"])
    states = tuple(State(_text(state["read"]), _text(state["write"]), _text(state["initial"])) for state in header["states"])
    return Graph(_text(header["name"]), Level(header["level"]), _texts(header["inputs"]), _texts(header["outputs"]), nodes,
                 {value.name: value for value in values}, constants, states)


def _node_record(node: Node) -> dict[str, Any]:
    return {"name": node.name, "kind": node.op.kind, "attributes": node.op.attributes(), "inputs": node.inputs, "outputs": node.outputs}


def _value_record(value: Value) -> dict[str, Any]:
    quant = value.quant
    record: dict[str, Any] = {"name": value.name, "shape": value.shape, "dtype": value.dtype.value}
    if quant is not None:
        record["quant"] = {"dtype": quant.dtype.value, "scale": quant.scale, "zero_point": quant.zero_point, "axis": quant.axis}
    return record


def _read_value(record: dict[str, Any]) -> Value:
    quant = record.get("quant")
    parsed = None if quant is None else Quant(DType(quant["dtype"]), tuple(quant["scale"]), tuple(quant["zero_point"]), quant["axis"])
    shape = tuple(record["shape"])
    if not _fits(shape, tuple[int | None, ...]) or not _fits(parsed.axis if parsed else None, int | None):
        raise ValueError(f"value {record['name']!r} has shape {shape}")
    return Value(_text(record["name"]), shape, DType(record["dtype"]), parsed)


def _text(item: Any) -> str:
    if not isinstance(item, str):
        raise ValueError(f"{item!r} is not a name")
    return item


def _texts(items: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in items)


def _read_constant(file: Any, index: int, record: dict[str, Any]) -> Constant:
    structure = None
    if "structure" in record:
        pattern = record["structure"]["pattern"]
        structure = Structure(file[f"mask{index}"] if f"mask{index}" in file else None, None if pattern is None else tuple(pattern),
                              file[f"codebook{index}"] if f"codebook{index}" in file else None, record["structure"]["bits"],
                              record["structure"].get("group"))
    return Constant(file[f"c{index}"], structure)


def _operator(kind: str, attributes: dict[str, Any]) -> Operator:
    if kind not in Operator.REGISTRY:
        raise ModelError(f"unknown operator {kind!r}", hint="the file was saved by a newer version")
    made = Operator.REGISTRY[kind]
    arguments = {key: _tuples(value) for key, value in attributes.items()}
    hints = typing.get_type_hints(made)
    for key, value in arguments.items():
        if key not in hints or not _fits(value, hints[key]):
            raise ModelError(f"{kind} has no attribute {key}={value!r}", hint="the file is damaged, or was saved by a newer version")
    return made(**arguments)


def _fits(value: Any, hint: Any) -> bool:
    """Whether ``value`` is what the annotation ``hint`` says: plain types, tuples and unions of them; whole numbers pass for floats."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, part) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if parts[-1] is Ellipsis:
            return all(_fits(item, parts[0]) for item in value)
        return len(value) == len(parts) and all(_fits(item, part) for item, part in zip(value, parts, strict=True))
    return type(value) in ((int, float) if hint is float else (hint,))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
