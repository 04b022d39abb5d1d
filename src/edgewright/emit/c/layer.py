"""The nouns of the C emitter: what a layer is given, and the calls that it becomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Graph, Node, Value
from edgewright.targets.sparse import is_sparse
from edgewright.targets.stored import Stored, stored


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers in flash; the C type is that of the array."""

    stem: str
    array: NDArray[np.generic]


@dataclass(frozen=True)
class Place:
    """An argument: the bytes of value ``name``, ``offset_bytes`` further on; a constant or a place in the arena."""

    name: str
    offset_bytes: int = 0


@dataclass(frozen=True)
class Workspace:
    """An argument: the working memory of the layer."""


@dataclass(frozen=True)
class Counter:
    """An argument: the counter ``name`` of the loop around the call; ``at``: its value, where one iteration is looked at."""

    name: str
    at: int = 0


@dataclass(frozen=True)
class Outside:
    """An argument: where the picture lies that the user gives."""


Argument = Place | Table | Workspace | Counter | Outside
Parameter = int | float | Table | Sequence[int] | Mapping[str, "Parameter"]


@dataclass(frozen=True, eq=False)
class Call:
    """A line of generated C: ``ew_<kernel>(&parameters, arguments…)``. ``parameters`` are the fields of ``struct ew_<kernel>``, or of
    ``struct ew_<structure>``, which several kernels share.

    ``permits``: macros that take out of the kernel what this call does not need; they are defined where all calls of the kernel permit it.
    ``within``: another kernel that this one calls, whose macros they are.
    """

    kernel: str
    parameters: Mapping[str, Parameter]
    arguments: Sequence[Argument] = field(default_factory=tuple)
    structure: str | None = None
    permits: frozenset[str] = frozenset()
    within: str = ""


@dataclass(frozen=True)
class Layer:
    """A node with its values, as the functions of the table of calls take it. ``kernels``: folders of kernels in search order.
    ``sparse_share``: see Target. ``frugal``: a matrix product that takes no working memory
    (:func:`edgewright.targets.workspace.can_be_frugal`).
    """

    graph: Graph
    node: Node
    ins: tuple[Value, ...]
    outs: tuple[Value, ...]
    kernels: tuple[str, ...]
    sparse_share: float = 0.0
    frugal: bool = False

    @property
    def simd(self) -> bool:
        """Whether the kernels for the DSP instructions are in use."""
        return "dsp" in self.kernels

    @property
    def stored(self) -> Stored | None:
        """How the weights lie in flash; None: a byte each."""
        return stored(self.graph, self.node, self.kernels)

    @property
    def sparse(self) -> bool:
        """Whether kernels that pass over zeros compute the layer."""
        return is_sparse(self.graph, self.node, self.kernels, self.sparse_share)

    def array(self, index: int) -> NDArray[np.generic]:
        """The numbers of constant input ``index``; UnsupportedError where it is not constant."""
        if not self.graph.is_constant(self.node.inputs[index]):
            raise UnsupportedError(
                f"{self.node.op.kind} {self.node.name!r} computes its input {index} at run time",
                hint="the C kernels take weights, biases and slopes as constants only",
            )
        return self.graph.array(self.node.inputs[index])

    def input(self, index: int = 0, offset_bytes: int = 0) -> Place:
        return Place(self.node.inputs[index], offset_bytes)

    def output(self, offset_bytes: int = 0) -> Place:
        return Place(self.node.outputs[0], offset_bytes)

    def expect_types(self, ins: Sequence[DType], out: DType) -> None:
        """UnsupportedError unless the first inputs and the output have these element types."""
        found = [value.dtype for value in (*self.ins[: len(ins)], self.outs[0])]
        if found != [*ins, out]:
            names = ", ".join(kind.value for kind in found[:-1])
            raise UnsupportedError(
                f"{self.node.op.kind} {self.node.name!r} from {names} to {found[-1].value} has no C kernel",
                hint=f"it takes {', '.join(kind.value for kind in ins)} and gives {out.value}",
            )

    def expect_int8(self, inputs: int = 1) -> None:
        self.expect_types([DType.INT8] * inputs, DType.INT8)


def known(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """A shape whose batch is one sample."""
    return tuple(1 if size is None else size for size in shape)


def steps_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Elements between neighbours along each axis of a dense tensor."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
