"""The operators of a tiled loop: it walks over a picture in strips of rows (outside: bands of columns), several layers for each.

They stand in the graph that a Program executes, between an OpenLoop and its CloseLoop, and in no network: they are not in the registry, so
no file can hold them. What lies between runs once for each (strip, band); a :class:`Span` says which part of a picture that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Operator


@dataclass(frozen=True)
class Span:
    """Along one axis: the ``size`` elements from ``step * i + start`` on, in iteration i. They may lie outside of the picture."""

    step: int
    start: int
    size: int

    def first(self, iteration: int) -> int:
        return self.step * iteration + self.start

    def touches(self, length: int) -> tuple[int, int]:
        """First and last iteration in which an element of a picture of ``length`` is among them."""
        return (-self.start - self.size) // self.step + 1, (length - 1 - self.start) // self.step


@dataclass(frozen=True)
class OpenLoop(Operator, register=False):
    """Outputs without contents, which live as long as the loop: the picture that it makes, and rows kept from strip to strip."""

    shapes: tuple[tuple[int, ...], ...]

    inputs_range: ClassVar[tuple[int, int]] = (0, 0)

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        return self.shapes


@dataclass(frozen=True)
class CloseLoop(Operator, register=False):
    """Input 0 is the picture that the loop has made; the others have to stand until its end. Output: that picture."""

    inputs_range: ClassVar[tuple[int, int]] = (1, 1 << 30)
    view: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        return (inputs[0].shape,)


@dataclass(frozen=True)
class TakeTile(Operator, register=False):
    """Input: a picture of ``shape`` (height, width, channels). Output: its part, places outside of it filled with the integer ``fill``.

    Without an input, the picture is that of which the program's user gives the address.
    """

    rows: Span
    columns: Span
    shape: tuple[int, int, int]
    fill: int

    inputs_range: ClassVar[tuple[int, int]] = (0, 1)

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        return ((1, self.rows.size, self.columns.size, self.shape[2]),)


class _OntoFirst(Operator, register=False):
    """What changes a part of its first input, in its place."""

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        return (inputs[0].shape,)

    def in_place(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[int, ...]:
        return (0,)


@dataclass(frozen=True)
class FillBorder(_OntoFirst, register=False):
    """Input: a part of a picture of ``height`` x ``width``. Output: the same, places outside of it filled with the integer ``fill``."""

    rows: Span
    columns: Span
    height: int
    width: int
    fill: int


@dataclass(frozen=True)
class PutTile(_OntoFirst, register=False):
    """Inputs: a picture, and a part of it. Output: the picture with that part written; what lies outside of it is dropped."""

    rows: Span
    columns: Span

    inputs_range: ClassVar[tuple[int, int]] = (2, 2)


@dataclass(frozen=True)
class AppendRows(_OntoFirst, register=False):
    """Inputs: a tile, and new rows. Output: the tile without its first rows, and the new ones after its last."""

    inputs_range: ClassVar[tuple[int, int]] = (2, 2)


@dataclass(frozen=True)
class KeepRows(_OntoFirst, register=False):
    """Inputs: kept rows, and a tile. Output: the kept rows, now the last ones of the tile."""

    inputs_range: ClassVar[tuple[int, int]] = (2, 2)
