"""Read a .pt2 file (torch.export.save, torch 2.8 and later) without torch.export.load.

torch.export.load unpickles (example inputs, constants, weights of odd types) and evaluates strings as Python expressions, so a hostile file
runs code. This reader takes the JSON graph and the raw weights alone; whatever needs more than that is refused.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.torch_program import SCOPES, Call, Input, Program, Ref, numbers_of

MOST_JSON_BYTES = 256 << 20
MOST_WEIGHT_BYTES = 4 << 30
MOST_DEPTH = 16
RESAVE = "save it again with torch.export.save of torch 2.8 or later; or, if you trust it, load it yourself and give the ExportedProgram"

# torch/_export/serde/schema.py, ScalarType
DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}


def read_pt2(path: Path) -> Program:
    """The program in the .pt2 file at ``path``; ModelError where it is damaged, of an old format, or holds pickles that matter."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.stem)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise ModelError(f"cannot read {path.name}: {error}", hint="it must be a file that torch.export.save wrote") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path.name} is damaged: {type(error).__name__}: {error}", hint=RESAVE) from error


def _read(archive: zipfile.ZipFile, name: str) -> Program:
    names = archive.namelist()
    models = [entry for entry in names if entry.endswith(".json") and "/models/" in entry]
    if len(models) != 1:
        raise ModelError(f"the archive holds {len(models)} models", hint=RESAVE)
    root, _, file = models[0].partition("/models/")
    model = file.removesuffix(".json")
    document = _json(archive, models[0])
    module = document["graph_module"]
    tensors = {
        **_tensors(archive, f"{root}/data/weights/", f"{model}_weights_config.json"),
        **_tensors(archive, f"{root}/data/constants/", f"{model}_constants_config.json"),
    }
    described = module["graph"]["tensor_values"]
    inputs: list[Input] = []
    constants: dict[str, tuple[str, NDArray[np.generic]]] = {}
    for spec in module["signature"]["input_specs"]:
        kind, body = _only(spec)
        if kind == "user_input":
            tag, argument = _only(body["arg"])
            if tag == "as_tensor":
                inputs.append(_input(_name(argument["name"]), described[argument["name"]]))
        elif kind in ("parameter", "buffer", "tensor_constant"):
            qualified = body[f"{kind}_name"]
            constants[_name(body["arg"]["name"])] = (_name(qualified), _constant(tensors, qualified))
        elif kind != "constant_input":
            raise UnsupportedError(f"the exported program takes a {kind.replace('_', ' ')}", hint="give it tensors only")
    outputs, mutated = [], {}
    for spec in module["signature"]["output_specs"]:
        kind, body = _only(spec)
        if kind == "user_output":
            outputs.append(_argument(body["arg"], 0))
        elif kind == "buffer_mutation":
            mutated[_name(body["arg"]["name"])] = _name(body["buffer_name"])
        else:
            raise UnsupportedError(f"the exported program returns a {kind.replace('_', ' ')}", hint="export the network for inference")
    return Program(name, tuple(inputs), constants, _calls(module["graph"], 0), tuple(outputs), mutated)


def _json(archive: zipfile.ZipFile, entry: str) -> Any:
    if archive.getinfo(entry).file_size > MOST_JSON_BYTES:
        raise ModelError(f"{entry} is larger than {MOST_JSON_BYTES >> 20} MiB", hint=RESAVE)
    return json.loads(archive.read(entry))


def _only(union: Mapping[str, Any]) -> tuple[str, Any]:
    """Tag and content of a union: a mapping with one entry."""
    ((tag, content),) = union.items()
    return tag, content


def _tensors(archive: zipfile.ZipFile, folder: str, config: str) -> dict[str, Callable[[], torch.Tensor]]:
    """Name in the model → a function that reads the tensor; entries that only pickle can read fail when they are asked for."""
    if folder + config not in archive.namelist():
        raise ModelError(f"the archive has no {config}", hint=RESAVE)
    entries = _json(archive, folder + config)["config"]
    total = sum(archive.getinfo(folder + meta["path_name"]).file_size for meta in entries.values())
    if total > MOST_WEIGHT_BYTES:
        raise ModelError(f"its weights take {total} bytes", hint="networks of this size do not fit an edge device")

    def reader(key: str, meta: Mapping[str, Any]) -> Callable[[], torch.Tensor]:
        def read() -> torch.Tensor:
            if meta["use_pickle"] or meta["tensor_meta"] is None:
                raise ModelError(f"tensor {key!r} can only be read by unpickling, which runs whatever code the file holds", hint=RESAVE)
            return _strided(archive.read(folder + meta["path_name"]), meta["tensor_meta"], key)

        return read

    return {key: reader(key, meta) for key, meta in entries.items()}


def _strided(raw: bytes, meta: Mapping[str, Any], key: str) -> torch.Tensor:
    sizes, strides = [int(size["as_int"]) for size in meta["sizes"]], [int(stride["as_int"]) for stride in meta["strides"]]
    offset, dtype = int(meta["storage_offset"]["as_int"]), DTYPES[meta["dtype"]]
    if len(sizes) != len(strides) or min([*sizes, *strides, offset, 0]) < 0:
        raise ModelError(f"tensor {key!r} has sizes {sizes} and strides {strides}", hint=RESAVE)
    elements = math.prod(sizes)
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True)) if elements else -1
    if (last + 1) * dtype.itemsize > len(raw) or elements * dtype.itemsize > MOST_WEIGHT_BYTES:
        raise ModelError(f"tensor {key!r} of shape {sizes} reaches beyond its {len(raw)} bytes", hint=RESAVE)
    if not elements:
        return torch.empty(sizes, dtype=dtype)
    whole = len(raw) // dtype.itemsize * dtype.itemsize
    return torch.frombuffer(bytearray(raw[:whole]), dtype=dtype).as_strided(sizes, strides, offset)


def _constant(tensors: Mapping[str, Callable[[], torch.Tensor]], qualified: str) -> NDArray[np.generic]:
    if qualified not in tensors:
        raise ModelError(f"the file lacks tensor {qualified!r}", hint=RESAVE)
    return numbers_of(tensors[qualified](), qualified)


def _input(name: str, meta: Mapping[str, Any]) -> Input:
    sizes, dynamic = [], []
    for axis, size in enumerate(meta["sizes"]):
        tag, content = _only(size)
        if tag == "as_expr":
            dynamic.append(axis)
            content = (content.get("hint") or {}).get("as_int")
        if not isinstance(content, int):
            raise ModelError(f"axis {axis} of input {name!r} has no size", hint="export with example inputs of fixed size")
        sizes.append(content)
    return Input(name, tuple(sizes), DTYPES[meta["dtype"]], tuple(dynamic))


def _calls(graph: Mapping[str, Any], depth: int) -> tuple[Call, ...]:
    if depth > MOST_DEPTH:
        raise ModelError("its graphs are nested too deeply", hint=RESAVE)
    return tuple(_call(node, depth) for node in graph["nodes"])


def _call(node: Mapping[str, Any], depth: int) -> Call:
    target = str(node["target"]).removeprefix("torch.ops.")
    outputs: list[str] = []
    many = len(node["outputs"]) != 1
    for output in node["outputs"]:
        tag, content = _only(output)
        many = many or tag == "as_tensors"
        for item in content if isinstance(content, list) else [content]:
            outputs.append(str(item.get("name") or item.get("as_name")) if isinstance(item, dict) else "")
    module = _module(str((node.get("metadata") or {}).get("nn_module_stack", "")))
    short = target.rsplit(".", 1)[-1]
    if short in SCOPES and target.startswith("higher_order."):
        values = [entry["arg"] for entry in node["inputs"]]
        position = next(index for index, value in enumerate(values) if "as_graph" in value)
        graph = values[position]["as_graph"]["graph"]
        names = [_name(entry["as_tensor"]["name"]) for entry in graph["inputs"]]
        body = Program(short, (), {}, _calls(graph, depth + 1), tuple(_argument(entry, depth) for entry in graph["outputs"]), {})
        given = [_argument(value, depth) for value in values[position + 1 :]]
        return Call(short, dict(zip(names, given, strict=True)), tuple(outputs), True, module, body)
    return Call(
        target,
        {_name(entry["name"]) or str(index): _argument(entry["arg"], depth) for index, entry in enumerate(node["inputs"])},
        tuple(outputs),
        many,
        module,
    )


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no name")
    return value


def _module(stack: str) -> tuple[str, str]:
    """(path, type) of the innermost module of a stack written as ``key,path,type;key,path,type``."""
    parts = stack.split(";")[-1].split(",")
    return (parts[1].split("@")[0], parts[2]) if len(parts) == 3 and not parts[0].startswith("_") else ("", "")


def _argument(union: Mapping[str, Any], depth: int) -> Any:
    if depth > MOST_DEPTH:
        raise ModelError("its arguments are nested too deeply", hint=RESAVE)
    tag, content = _only(union)
    if tag == "as_none":
        return None
    if tag == "as_tensor":
        return Ref(_name(content["name"]))
    if tag in ("as_tensors", "as_nested_tensors"):
        return [Ref(_name(item["name"])) if isinstance(item, dict) else [Ref(_name(inner["name"])) for inner in item] for item in content]
    if tag in ("as_sym_int", "as_sym_float", "as_sym_bool", "as_optional_tensor"):
        return _symbol(content)
    if tag in ("as_sym_ints", "as_sym_floats", "as_optional_tensors"):
        return [_symbol(item) for item in content]
    if tag == "as_scalar_type":
        return DTYPES.get(content)
    if tag in (
        "as_int",
        "as_ints",
        "as_float",
        "as_floats",
        "as_bool",
        "as_bools",
        "as_string",
        "as_strings",
        "as_memory_format",
        "as_layout",
        "as_device",
        "as_int_lists",
        "as_float_lists",
    ):
        return content
    raise UnsupportedError(
        f"an operator of the exported program takes an argument {tag[3:]!r}", hint="simplify the network's forward method"
    )


def _symbol(union: Mapping[str, Any]) -> Any:
    tag, content = _only(union)
    if tag == "as_name":
        return Ref(_name(content))
    if tag == "as_tensor":
        return Ref(_name(content["name"]))
    if tag == "as_none":
        return None
    return content
