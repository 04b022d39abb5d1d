"""A traced torch program as plain data: what an ExportedProgram and a .pt2 file both say, and all that the conversion needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind, TensorArgument
from torch.fx import Node

from edgewright.errors import ModelError, UnsupportedError

GETITEM = "getitem"
SCOPES = ("wrap_with_set_grad_enabled", "wrap_with_autocast")
"""Higher-order operators that only run another graph; what they switch makes no difference to an inference in float32."""


@dataclass(frozen=True)
class Ref:
    """Another call's result, an input or a constant, by name."""

    name: str


@dataclass(frozen=True)
class Call:
    """One operator. ``target`` is as torch spells it without ``torch.ops.``; ``arguments`` by their names in the operator's schema.

    ``outputs``: one name, or one for each tensor of a list or tuple that the operator returns (``many``). ``module``: path and type.
    """

    target: str
    arguments: Mapping[str, Any]
    outputs: tuple[str, ...]
    many: bool = False
    module: tuple[str, str] = ("", "")
    body: Program | None = None


@dataclass(frozen=True)
class Input:
    """A tensor that the user gives. ``dynamic``: the axes whose size is not fixed; ``shape`` holds the example's size there."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    dynamic: tuple[int, ...] = ()


@dataclass(frozen=True)
class Program:
    """A traced program in execution order.

    ``constants``: name → (name in the model, numbers). ``mutated``: name → the buffer that it is written to.
    """

    name: str
    inputs: tuple[Input, ...]
    constants: Mapping[str, tuple[str, NDArray[np.generic]]]
    calls: tuple[Call, ...]
    outputs: tuple[Any, ...]
    mutated: Mapping[str, str]


def numbers_of(tensor: torch.Tensor, name: str) -> NDArray[np.generic]:
    """A parameter or buffer as a numpy array: floats as float32."""
    if tensor.is_sparse or tensor.is_quantized or tensor.is_complex():
        raise UnsupportedError(f"constant {name!r} is sparse, quantized or complex", hint="export a float model with dense weights")
    tensor = tensor.detach().to("cpu")
    array: NDArray[np.generic] = (tensor.to(torch.float32) if tensor.is_floating_point() else tensor).contiguous().numpy()
    return array


def from_exported(exported: ExportedProgram, name: str = "") -> Program:
    """The plain form of ``exported``."""
    signature = exported.graph_signature
    tensors: dict[str, Any] = {**exported.state_dict, **exported.constants}
    constants: dict[str, tuple[str, NDArray[np.generic]]] = {}
    inputs: list[Input] = []
    placeholders = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    for spec in signature.input_specs:
        if spec.kind is InputKind.USER_INPUT:
            if isinstance(spec.arg, TensorArgument):
                inputs.append(_input(placeholders[spec.arg.name]))
        elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR) and spec.target in tensors:
            constants[spec.arg.name] = (spec.target, numbers_of(tensors[spec.target], spec.target))
        else:
            raise UnsupportedError(
                f"the exported program takes {spec.arg.name!r}, a {spec.kind.name.lower().replace('_', ' ')}", hint="give it tensors only"
            )
    outputs, mutated = [], {}
    for out in signature.output_specs:
        if out.kind is OutputKind.USER_OUTPUT:
            outputs.append(Ref(out.arg.name) if isinstance(out.arg, TensorArgument) else getattr(out.arg, "value", None))
        elif out.kind is OutputKind.BUFFER_MUTATION:
            mutated[out.arg.name] = str(out.target)
        else:
            raise UnsupportedError(
                f"the exported program returns a {out.kind.name.lower().replace('_', ' ')}", hint="export the network for inference"
            )
    calls = _calls(exported.graph_module)
    modules = [call.module[1] for call in calls if call.module[0] == "" and call.module[1]]
    return Program(name or (modules[0].split(".")[-1] if modules else "torch"), tuple(inputs), constants, calls, tuple(outputs), mutated)


def _input(node: Node) -> Input:
    fake = node.meta["val"]
    dynamic = tuple(axis for axis, size in enumerate(fake.shape) if not isinstance(size, int))
    return Input(node.name, tuple(_hint(size) for size in fake.shape), fake.dtype, dynamic)


def _hint(size: Any) -> int:
    if isinstance(size, int):
        return size
    hint = size.node.hint
    if not isinstance(hint, int):
        raise UnsupportedError("a size of the exported program is known only when it runs", hint="export with example inputs of fixed size")
    return hint


def _calls(module: torch.fx.GraphModule) -> tuple[Call, ...]:
    calls: list[Call] = []
    pieces: dict[str, tuple[str, ...]] = {}
    for node in module.graph.nodes:
        if node.op == "call_function":
            calls.append(_call(node, module, pieces))
        elif node.op == "get_attr" and not isinstance(getattr(module, str(node.target), None), torch.nn.Module):
            raise UnsupportedError(f"the program reads attribute {node.target!r}", hint="make it a buffer of the module")
    return tuple(calls)


def _call(node: Node, module: torch.fx.GraphModule, pieces: dict[str, tuple[str, ...]]) -> Call:
    stack = list(node.meta.get("nn_module_stack", {}).values())
    where = (str(stack[-1][0]).split("@")[0], _type_name(stack[-1][1])) if stack else ("", "")
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        names = [argument.name for argument in target._schema.arguments]
        arguments = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        return Call(str(target), {key: _plain(value) for key, value in arguments.items()}, (node.name,), module=where)
    label = getattr(target, "__name__", str(target))
    if label in SCOPES:
        graphs = [arg for arg in node.args if isinstance(arg, Node) and isinstance(_submodule(module, arg), torch.fx.GraphModule)]
        if len(graphs) != 1:
            raise ModelError(f"{label} of the exported program runs {len(graphs)} graphs", hint="export the network again")
        inner = _submodule(module, graphs[0])
        assert isinstance(inner, torch.fx.GraphModule)
        names = [child.name for child in inner.graph.nodes if child.op == "placeholder"]
        given = node.args[node.args.index(graphs[0]) + 1 :]
        returned = next(child for child in inner.graph.nodes if child.op == "output").args[0]
        results = tuple(_plain(value) for value in (returned if isinstance(returned, (list, tuple)) else [returned]))
        body = Program(label, (), {}, _calls(inner), results, {})
        return Call(label, {name: _plain(value) for name, value in zip(names, given, strict=True)}, (node.name,), module=where, body=body)
    return Call(label, {str(index): _plain(value) for index, value in enumerate(node.args)}, (node.name,), module=where)


def _submodule(module: torch.fx.GraphModule, node: Node) -> object:
    return getattr(module, str(node.target), None) if node.op == "get_attr" else None


def _type_name(kind: object) -> str:
    return kind if isinstance(kind, str) else f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', '')}"


def _plain(value: Any) -> Any:
    if isinstance(value, Node):
        return Ref(value.name)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def references(value: Any) -> Sequence[str]:
    """Names that an argument refers to."""
    if isinstance(value, Ref):
        return (value.name,)
    if isinstance(value, (list, tuple)):
        return [name for item in value for name in references(item)]
    return ()
