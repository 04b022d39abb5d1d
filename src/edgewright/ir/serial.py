"""A graph in one .npz file: a JSON header and the constants. No pickle; a file that breaks a rule is a ModelError."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
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


def save_graph(graph: Graph, path: str | Path) -> Path:
    """Write ``graph`` to ``path`` (.npz), whole or not at all."""
    header: dict[str, Any] = {
        "format": FORMAT, "name": graph.name, "level": graph.level.value, "inputs": graph.inputs, "outputs": graph.outputs,
        "nodes": [{"name": n.name, "kind": n.op.kind, "attributes": n.op.attributes(), "inputs": n.inputs, "outputs": n.outputs} for n in graph.nodes],
        "values": [_value_record(value) for value in graph.values.values()],
        "states": [dataclasses.asdict(state) for state in graph.states],
        "constants": [],
    }
    arrays: dict[str, NDArray[np.generic]] = {}
    for index, (name, constant) in enumerate(graph.constants.items()):
        arrays[f"c{index}"] = constant.array
        record: dict[str, Any] = {"name": name}
        if constant.structure is not None:
            record["structure"] = {"pattern": constant.structure.pattern, "bits": constant.structure.bits}
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
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes().decode())
            if header["format"] != FORMAT:
                raise ModelError(f"{path} has graph format {header['format']}, this version reads {FORMAT}")
            constants = {record["name"]: _read_constant(file, index, record) for index, record in enumerate(header["constants"])}
        graph = Graph(
            header["name"], Level(header["level"]), tuple(header["inputs"]), tuple(header["outputs"]),
            tuple(Node(n["name"], _operator(n["kind"], n["attributes"]), tuple(n["inputs"]), tuple(n["outputs"])) for n in header["nodes"]),
            {record["name"]: _read_value(record) for record in header["values"]}, constants, tuple(State(**state) for state in header["states"]))
        return verify(graph)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ModelError(f"cannot read a graph from {path}: {error}", hint="it must be a file that Edgewright saved") from error


def _value_record(value: Value) -> dict[str, Any]:
    quant = value.quant
    record: dict[str, Any] = {"name": value.name, "shape": value.shape, "dtype": value.dtype.value}
    if quant is not None:
        record["quant"] = {"dtype": quant.dtype.value, "scale": quant.scale, "zero_point": quant.zero_point, "axis": quant.axis}
    return record


def _read_value(record: dict[str, Any]) -> Value:
    quant = record.get("quant")
    parsed = None if quant is None else Quant(DType(quant["dtype"]), tuple(quant["scale"]), tuple(quant["zero_point"]), quant["axis"])
    return Value(record["name"], tuple(record["shape"]), DType(record["dtype"]), parsed)


def _read_constant(file: Any, index: int, record: dict[str, Any]) -> Constant:
    structure = None
    if "structure" in record:
        pattern = record["structure"]["pattern"]
        structure = Structure(file[f"mask{index}"] if f"mask{index}" in file else None, None if pattern is None else tuple(pattern),
                              file[f"codebook{index}"] if f"codebook{index}" in file else None, record["structure"]["bits"])
    return Constant(file[f"c{index}"], structure)


def _operator(kind: str, attributes: dict[str, Any]) -> Operator:
    if kind not in Operator.REGISTRY:
        raise ModelError(f"unknown operator {kind!r}", hint="the file was saved by a newer version")
    return Operator.REGISTRY[kind](**{key: _tuples(value) for key, value in attributes.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
