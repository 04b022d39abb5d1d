"""The arguments of one call, by the names of torch's schemas, in the types that conversion functions want."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright.errors import UnsupportedError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, Operand
from edgewright.frontends.layout_compute import known_of, tensor_of

Result = Operand | Sequence[Operand | None] | int | float | bool | None
Handler = Callable[[Door, "Arguments"], Result]


@dataclass(frozen=True)
class Arguments:
    """Resolved arguments: activations, constants, numbers and lists of them. A missing one takes the default that is asked with it."""

    values: Mapping[str, Any]

    def raw(self, name: str, default: Any = None) -> Any:
        value = self.values.get(name, default)
        return default if value is None else value

    def operand(self, name: str) -> Operand:
        """An activation or a constant; a plain number becomes a constant."""
        value = self.raw(name)
        if isinstance(value, (Held, Known)):
            return value
        if isinstance(value, (int, float)):
            return Known(np.asarray(value, np.float32), "scalar")
        raise UnsupportedError(f"its argument {name!r} is not a tensor", hint="simplify the network's forward method")

    def held(self, name: str = "self") -> Held:
        return tensor_of(self.operand(name), name)

    def known(self, name: str) -> Known:
        return known_of(self.operand(name), name)

    def maybe_known(self, name: str) -> Known | None:
        return None if self.raw(name) is None else self.known(name)

    def operands(self, name: str) -> list[Operand]:
        value = self.raw(name)
        if not isinstance(value, list) or not all(isinstance(item, (Held, Known)) for item in value):
            raise UnsupportedError(f"its argument {name!r} is not a list of tensors", hint="simplify the network's forward method")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A number, also one that is a constant tensor of one element."""
        value = self.raw(name, default)
        if isinstance(value, Known) and value.array.size == 1:
            return float(value.array.reshape(-1)[0])
        if not isinstance(value, (int, float)):
            raise UnsupportedError(f"its argument {name!r} is computed at run time", hint="only a constant will do there")
        return float(value)

    def integer(self, name: str, default: int | None = None) -> int:
        return int(self.number(name, default))

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self.raw(name, default))

    def integers(self, name: str, default: Sequence[int] | None = None, *, count: int = 0) -> tuple[int, ...]:
        """Integers; one number, or a list of one, stands for ``count`` of them."""
        value = self.raw(name, default)
        items = [value] if isinstance(value, (int, float)) else list(value) if isinstance(value, (list, tuple)) else None
        if items is None or not all(isinstance(item, int) for item in items):
            raise UnsupportedError(f"its argument {name!r} is computed at run time", hint="only constants will do there")
        whole = [int(item) for item in items]
        return tuple(whole * count if count and len(whole) == 1 else whole)

    def axis(self, name: str, rank: int, default: int | None = None) -> int:
        """An axis counted from 0."""
        return axis_of(self.integer(name, default), rank)

    def axes(self, name: str, rank: int) -> tuple[int, ...] | None:
        """Axes counted from 0; None where none are given (all of them)."""
        value = self.raw(name)
        if value is None or value == []:
            return None
        return tuple(axis_of(axis, rank) for axis in self.integers(name))


def axis_of(axis: int, rank: int) -> int:
    """``axis`` counted from 0; UnsupportedError where there is no such axis."""
    if not -rank <= axis < max(rank, 1):
        raise UnsupportedError(f"axis {axis} of a tensor with {rank} axes", hint=INCONSISTENT)
    return axis % rank if rank else 0
