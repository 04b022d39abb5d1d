"""Inputs and attributes of one ONNX node, in the types that conversion functions want."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgewright.errors import UnsupportedError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, Operand
from edgewright.frontends.layout_compute import known_of, tensor_of
from edgewright.frontends.onnx_file import OnnxNode


@dataclass(frozen=True)
class Pieces:
    """A sequence of tensors: what exporters write where a split has pieces of unequal size."""

    items: Sequence[Operand]


Result = Operand | Pieces | Sequence[Operand | None]
Handler = Callable[[Door, "Arguments"], Result]


@dataclass(frozen=True)
class Arguments:
    """A node and what its inputs are (None: absent)."""

    node: OnnxNode
    inputs: Sequence[Operand | Pieces | None]

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def operand(self, index: int = 0) -> Operand:
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise UnsupportedError(f"its input {index} is missing", hint=INCONSISTENT)
        if isinstance(value, Pieces):
            raise UnsupportedError("it takes a sequence of tensors", hint="split into pieces of equal size")
        return value

    def held(self, index: int = 0) -> Held:
        return tensor_of(self.operand(index), f"input {index}")

    def known(self, index: int) -> Known:
        return known_of(self.operand(index), f"input {index}")

    def maybe_known(self, index: int) -> Known | None:
        return self.known(index) if self.has(index) else None

    def constants(self, index: int) -> list[int]:
        """The integers of a constant input."""
        return [int(item) for item in self.known(index).array.reshape(-1)]

    def number(self, index: int, default: float) -> float:
        """The one number of a constant input."""
        if not self.has(index):
            return default
        array = self.known(index).array
        if array.size != 1:
            raise UnsupportedError(f"its input {index} has {array.size} numbers", hint="one number is expected there")
        return float(array.reshape(-1)[0])

    def integer(self, name: str, default: int) -> int:
        return int(self._typed(name, int, default))

    def real(self, name: str, default: float) -> float:
        return float(self._typed(name, (int, float), default))

    def text(self, name: str, default: str) -> str:
        return str(self._typed(name, str, default))

    def integers(self, name: str, default: Sequence[int] | None = None, *, count: int | None = None) -> list[int]:
        """A list attribute; UnsupportedError where it is missing without default, or has not ``count`` entries."""
        value = self.node.attributes.get(name, default)
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, int) for item in value):
            raise UnsupportedError(f"its attribute {name!r} is missing or no list of integers", hint=INCONSISTENT)
        if count is not None and len(value) != count:
            raise UnsupportedError(f"its attribute {name!r} has {len(value)} entries, not {count}", hint=INCONSISTENT)
        return list(value)

    def _typed(self, name: str, kind: type | tuple[type, ...], default: int | float | str) -> int | float | str:
        value = self.node.attributes.get(name, default)
        if not isinstance(value, kind):
            raise UnsupportedError(f"its attribute {name!r} has the wrong type", hint=INCONSISTENT)
        assert isinstance(value, (int, float, str))
        return value

    def axis(self, rank: int, default: int, name: str = "axis") -> int:
        return axis_of(self.integer(name, default), rank)

    def axes(self, rank: int, index: int, name: str = "axes") -> list[int] | None:
        """Axes given as input ``index`` or, in older opsets, as attribute ``name``; None where there are none."""
        if self.has(index):
            found = self.constants(index)
        elif name in self.node.attributes:
            found = self.integers(name)
        else:
            return None
        return [axis_of(axis, rank) for axis in found]


def axis_of(axis: int, rank: int) -> int:
    """``axis`` counted from 0; UnsupportedError where there is no such axis."""
    if not -rank <= axis < max(rank, 1):
        raise UnsupportedError(f"axis {axis} of a tensor with {rank} axes", hint=INCONSISTENT)
    return axis % rank if rank else 0
