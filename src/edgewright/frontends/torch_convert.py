"""A traced torch program to a Graph: call by call through one table, with all that is missing told at once."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.audit import Finding, raise_unsupported
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, Operand, convert
from edgewright.frontends.torch_arguments import Arguments, Handler
from edgewright.frontends.torch_ops_compute import COMPUTE
from edgewright.frontends.torch_ops_pointwise import POINTWISE
from edgewright.frontends.torch_ops_recurrent import RECURRENT
from edgewright.frontends.torch_ops_shape import SHAPE
from edgewright.frontends.torch_program import GETITEM, Call, Program, Ref, numbers_of, references
from edgewright.ir.graph import Graph
from edgewright.ir.layout import BatchMixedError
from edgewright.ir.verify import MAX_ELEMENTS

TABLE: dict[str, Handler] = {**COMPUTE, **RECURRENT, **POINTWISE, **SHAPE}
"""aten name → conversion. Names of in-place forms stand without their underscore."""

NO_RESULT = ("aten._assert", "aten.sym_constrain", "aten._functional_assert", "_assert")
VIEWS = {
    "view",
    "reshape",
    "permute",
    "transpose",
    "t",
    "slice",
    "select",
    "narrow",
    "squeeze",
    "unsqueeze",
    "flatten",
    "unflatten",
    "expand",
    "chunk",
    "split",
    "split_with_sizes",
    "unbind",
    "detach",
    "alias",
    "contiguous",
    "to",
    "dropout",
    "movedim",
    GETITEM,
}
"""Operators whose result may share its numbers with the argument."""

SYMBOLS: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(operator, name)
        for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "pow", "eq", "ne", "lt", "le", "gt", "ge")
    },
    "sym_max": max,
    "sym_min": min,
    "sym_int": int,
    "sym_float": float,
    "sym_not": operator.not_,
    "floor": math.floor,
    "ceil": math.ceil,
}
OF_INTEGERS = (
    "aten._assert",
    "aten.sym_size.",
    *(f"aten.{name}." for name in ("to", "_to_copy", "embedding", "view", "reshape", "unsqueeze", "squeeze", "expand", "slice", "permute")),
    *(f"aten.{name}." for name in ("transpose", "contiguous", "clone", "detach", "alias", "eq", "ne")),
)
"""What may read an input of integers: it chooses rows of a table, is moved, or becomes real."""
PLACEMENT = ("device", "layout", "pin_memory", "memory_format", "requires_grad", "non_blocking")
"""Arguments that say where numbers lie, not what they are."""


class _Missing:
    """The result of a call that could not be converted: what reads it is passed over, so that one audit finds all."""


MISSING = _Missing()


def convert_program(program: Program) -> Graph:
    """The Graph of ``program``; UnsupportedError lists everything that has no conversion."""
    return convert(lambda symbolic, orders: _Conversion(program, symbolic, orders).run())


class _Conversion:
    def __init__(self, program: Program, symbolic: bool, orders: Mapping[str, tuple[int, ...]]) -> None:
        self.program = program
        self.door = Door(program.name, symbolic_batch=symbolic, orders=orders)
        self.findings: list[Finding] = []
        self.aliases: dict[str, str] = {}
        self.last_use = {name: index for index, call in enumerate(program.calls) for name in references(list(call.arguments.values()))}
        self.last_use.update(dict.fromkeys(references(list(program.outputs)), len(program.calls)))

    def run(self) -> tuple[Door, Sequence[tuple[str, Operand]]]:
        self._check_inputs()
        env: dict[str, Any] = {name: Known(array, qualified) for name, (qualified, array) in self.program.constants.items()}
        for entry in self.program.inputs:
            env[entry.name] = self.door.input(entry.name, entry.shape, whole=not entry.dtype.is_floating_point)
        self._calls(self.program.calls, env)
        for name, buffer in self.program.mutated.items():
            if isinstance(env.get(name), (Held, _Missing)):
                self.findings.append(
                    Finding("buffer", buffer, "the network changes it from call to call", "pass the state in and out as tensors")
                )
        raise_unsupported(list(dict.fromkeys(self.findings)), f"torch network {self.program.name!r}")
        outputs: list[tuple[str, Operand]] = []
        for value in self.program.outputs:
            result = self._resolve(value, env)
            if isinstance(result, (Held, Known)):
                outputs.append((value.name if isinstance(value, Ref) else "output", result))
        if not outputs:
            raise ModelError("the network returns no tensor", hint="its forward method must return a tensor or a tuple of them")
        return self.door, outputs

    def _check_inputs(self) -> None:
        inputs = self.program.inputs
        if not inputs:
            raise ModelError("the network takes no tensor", hint="its forward method must take tensors")
        if (
            self.door.symbolic_batch
            and len({entry.shape[0] for entry in inputs if entry.shape} | {0 for entry in inputs if not entry.shape}) > 1
        ):
            raise BatchMixedError
        for entry in inputs:
            moving = [axis for axis in entry.dynamic if axis > 0]
            if moving:
                raise UnsupportedError(
                    f"axis {moving[0]} of input {entry.name!r} has no fixed size", hint="only the batch, axis 0, may be dynamic"
                )
            readers = [call.target for call in self.program.calls if entry.name in references(list(call.arguments.values()))]
            if not entry.dtype.is_floating_point and not all(target.startswith(OF_INTEGERS) for target in readers):
                raise UnsupportedError(
                    f"input {entry.name!r} is {entry.dtype}, and the network computes with such integers",
                    hint="inputs are real numbers, or choose rows of a table; convert other integers to float first thing in forward",
                )

    def _calls(self, calls: Sequence[Call], env: dict[str, Any]) -> None:
        for index, call in enumerate(calls):
            if call.target.startswith(NO_RESULT):
                continue
            self.door.where = _label(call)
            try:
                result = self._call(call, env, index if calls is self.program.calls else -1)
            except UnsupportedError as error:
                self.findings.append(Finding(call.target, self.door.where, error.message, error.hint))
                result = MISSING
            except BatchMixedError:
                raise
            except ModelError as error:
                raise ModelError(f"{call.target} {self.door.where!r}: {error.message}", hint=error.hint) from error
            except (ValueError, IndexError, TypeError, KeyError, AttributeError, OverflowError, ZeroDivisionError, RecursionError) as error:
                raise ModelError(
                    f"{call.target} {self.door.where!r} has arguments that do not fit together: {error}", hint=INCONSISTENT
                ) from error
            self._store(call, result, env)

    def _store(self, call: Call, result: Any, env: dict[str, Any]) -> None:
        if not call.many:
            env.update(dict.fromkeys(call.outputs, result))
            return
        items = list(result) if isinstance(result, (list, tuple)) else [result if result is MISSING else None] * len(call.outputs)
        for position, name in enumerate(call.outputs):
            env[name] = items[position] if position < len(items) else None

    def _call(self, call: Call, env: dict[str, Any], index: int) -> Any:
        arguments = {name: self._resolve(value, env) for name, value in call.arguments.items()}
        target, in_place = _functional(call.target)
        tensors = _tensors(list(arguments.values()))
        if call.body is not None:
            inner = dict(arguments)
            self._calls(call.body.calls, inner)
            return [self._resolve(value, inner) for value in call.body.outputs]
        symbol = target.removeprefix("_operator.").removeprefix("math.")
        if symbol == GETITEM:
            self._note_view(call)
            return arguments["0"][arguments["1"]] if not isinstance(arguments["0"], _Missing) else MISSING
        if target.startswith("aten.sym_"):
            return self._size(target, arguments)
        if symbol in SYMBOLS and not tensors:
            return SYMBOLS[symbol](*arguments.values())
        constant = not any(isinstance(item, (Held, _Missing)) for item in tensors)
        if target not in TABLE and not constant:
            raise UnsupportedError(
                "there is no such operator here", hint="replace it by operators that Edgewright has; the documentation lists them"
            )
        if any(isinstance(item, _Missing) for item in tensors):
            return MISSING
        result = self._fold(target, arguments, call) if constant else TABLE[target](self.door, Arguments(arguments))
        if in_place:
            self._write_back(call, result, env, index)
        elif target.split(".")[1] in VIEWS:
            self._note_view(call)
        return result

    def _resolve(self, value: Any, env: Mapping[str, Any]) -> Any:
        if isinstance(value, Ref):
            if value.name not in env:
                raise ModelError(
                    f"the program reads {value.name!r} before it is computed", hint="the file is damaged; export the network again"
                )
            if env[value.name] is None:
                problem = f"it reads {value.name!r}, indices or another result beside the main one"
                raise UnsupportedError(problem, hint="use the main result alone")
            return env[value.name]
        if isinstance(value, list):
            return [self._resolve(item, env) for item in value]
        return value

    def _size(self, target: str, arguments: Mapping[str, Any]) -> Any:
        operand = arguments.get("self")
        if isinstance(operand, _Missing):
            return MISSING
        shape = operand.layout.shape if isinstance(operand, Held) else operand.array.shape if isinstance(operand, Known) else None
        if shape is not None and target == "aten.sym_size.int":
            return int(shape[arguments["dim"]])
        if shape is not None and target.startswith("aten.sym_numel"):
            return math.prod(shape)
        raise UnsupportedError("a size that is not known", hint="export with example inputs of fixed size")

    def _fold(self, target: str, arguments: Mapping[str, Any], call: Call) -> Any:
        """Run an operator on constants: first for the size of its result alone, then for its numbers."""
        op = _overload(target)
        given = {name: value for name, value in arguments.items() if name not in PLACEMENT and value is not None}
        named = call.outputs[0] if call.outputs else "constant"
        try:
            sketch = op(**_as_torch(given, "meta"), **({"device": "meta"} if _makes_tensor(op) else {}))
            sizes = [item.numel() for item in (sketch if isinstance(sketch, (list, tuple)) else [sketch]) if isinstance(item, torch.Tensor)]
            if sum(sizes) > MAX_ELEMENTS >> 4:
                raise ModelError(f"it makes a constant of {sum(sizes)} elements", hint="networks of this size do not fit an edge device")
            result = op(**_as_torch(given, "cpu"))
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
            raise UnsupportedError(
                f"it cannot be computed in advance: {str(error).splitlines()[0]}", hint="make its result a buffer of the module"
            ) from error
        if isinstance(result, (list, tuple)):
            return [Known(numbers_of(item, named), named) for item in result]
        return Known(numbers_of(result, named), named) if isinstance(result, torch.Tensor) else result

    def _note_view(self, call: Call) -> None:
        """Remember which values may be the same memory."""
        sources = references(list(call.arguments.values()))
        for name in call.outputs:
            if sources:
                self.aliases[name] = self._root(sources[0])

    def _root(self, name: str) -> str:
        while name in self.aliases:
            name = self.aliases[name]
        return name

    def _write_back(self, call: Call, result: Any, env: dict[str, Any], index: int) -> None:
        """An in-place operator changes what its first argument means from now on."""
        changed = next(iter(references(list(call.arguments.values()))), None)
        if changed is None:
            return
        if isinstance(env.get(changed), Known) and isinstance(result, Held):
            raise UnsupportedError("the network changes a buffer from call to call", hint="pass the state in and out as tensors")
        root = self._root(changed)
        others = {name for name in [*self.aliases, root] if name != changed and self._root(name) == root}
        if any(self.last_use.get(name, -1) > index >= 0 for name in others):
            raise UnsupportedError(
                "it changes a tensor in place that is also read through a view", hint="use the form that is not in place"
            )
        env[changed] = result
        for name in call.outputs:
            self.aliases[name] = root


def _functional(target: str) -> tuple[str, bool]:
    """(name without the underscore of the in-place form, whether it had one)."""
    parts = target.split(".")
    if len(parts) == 3 and parts[1].endswith("_") and not parts[1].endswith("__"):
        return f"{parts[0]}.{parts[1][:-1]}.{parts[2]}", True
    return target, False


def _label(call: Call) -> str:
    """A name for the nodes of a call: the layer's path, with the operator behind it where the layer is not torch's own."""
    path, kind = call.module
    parts = call.target.split(".")
    word = parts[1].strip("_") if len(parts) == 3 else call.target
    if path and kind.startswith("torch.nn.modules.") and not kind.startswith("torch.nn.modules.container."):
        return path
    return f"{path}.{word}" if path else word


def _tensors(values: Sequence[Any]) -> list[Any]:
    found = []
    for value in values:
        if isinstance(value, list):
            found.extend(_tensors(value))
        elif isinstance(value, (Held, Known, _Missing)):
            found.append(value)
    return found


def _overload(target: str) -> torch._ops.OpOverload:
    """torch's own function of that name; UnsupportedError where there is none, or where its results differ from run to run."""
    match = re.fullmatch(r"aten\.([a-zA-Z]\w*|_[a-zA-Z]\w*)\.(\w+)", target)
    packet = getattr(torch.ops.aten, match[1], None) if match and "__" not in target else None
    op = getattr(packet, match[2], None) if match and isinstance(packet, torch._ops.OpOverloadPacket) else None
    if not isinstance(op, torch._ops.OpOverload):
        raise UnsupportedError(
            "there is no such operator here", hint="replace it by operators that Edgewright has; the documentation lists them"
        )
    if torch.Tag.nondeterministic_seeded in op.tags:
        raise UnsupportedError("its result is random", hint="call .eval() before exporting")
    return op


def _makes_tensor(op: torch._ops.OpOverload) -> bool:
    arguments = op._schema.arguments
    return any(argument.name == "device" for argument in arguments) and not any("Tensor" in str(argument.type) for argument in arguments)


def _as_torch(values: Mapping[str, Any], device: str) -> dict[str, Any]:
    def one(value: Any) -> Any:
        if isinstance(value, Known):
            return torch.from_numpy(np.array(value.array)).to(device)
        return [one(item) for item in value] if isinstance(value, list) else value

    return {name: one(value) for name, value in values.items()}
