"""The Graph: a straight-line program in frozen dataclasses. Everything is ``Graph -> Graph`` until it is files."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.operator import Operator

Shape = tuple[int | None, ...]


class Level(str, Enum):
    """What values a graph may contain: see DESIGN.md, section 1."""

    FLOAT = "float"
    QUANTIZED = "quantized"
    INTEGER = "integer"


@dataclass(frozen=True)
class Value:
    """A tensor by name: shape (axis 0 may be None, the batch), element type, and how its integers map to reals.

    At the quantized level ``dtype`` stays float32 and ``quant`` tells which integers the value will be.
    """

    name: str
    shape: Shape
    dtype: DType = DType.FLOAT32
    quant: Quant | None = None

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample: a symbolic batch counts as 1."""
        return tuple(1 if size is None else size for size in self.shape)

    @property
    def elements(self) -> int:
        """Elements of one sample."""
        return math.prod(self.sample_shape)

    @property
    def bytes(self) -> int:
        """Bytes of one sample."""
        return self.dtype.bytes_of(self.elements)

    @property
    def rank(self) -> int:
        return len(self.shape)


@dataclass(frozen=True, eq=False)
class Structure:
    """What is known of a constant beyond its numbers; every later pass preserves it.

    ``mask``: boolean, same shape, False where the weight is pruned. ``pattern``: (n, m), at most n of m neighbours along the input axis are
    non-zero. ``codebook``: the few values that occur (one row, or one row a channel). ``bits``: width that the numbers fit. ``group``: so
    many neighbours along the last axis have integers that fit four bits once they are divided by their greatest common divisor.
    """

    mask: NDArray[np.bool_] | None = None
    pattern: tuple[int, int] | None = None
    codebook: NDArray[np.generic] | None = None
    bits: int | None = None
    group: int | None = None


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers known at compile time; the array is made read-only."""

    array: NDArray[np.generic]
    structure: Structure | None = None

    def __post_init__(self) -> None:
        array = np.ascontiguousarray(self.array).reshape(np.shape(self.array))
        if array.flags.writeable:
            array = array.copy() if array is self.array else array
            array.flags.writeable = False
        object.__setattr__(self, "array", array)


@dataclass(frozen=True)
class Node:
    """One operator applied: ``inputs`` and ``outputs`` are value names."""

    name: str
    op: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """A value kept from call to call: ``read`` holds what ``write`` was at the end of the call before, at first constant ``initial``."""

    read: str
    write: str
    initial: str


@dataclass(frozen=True)
class Graph:
    """Nodes in execution order over named values.

    ``values`` describes every value: inputs, states, constants and node outputs; ``constants`` holds the numbers of those that have them.
    Never mutated: edits go through :mod:`edgewright.ir.edit` and give a new graph.
    """

    name: str
    level: Level
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    constants: Mapping[str, Constant] = field(default_factory=dict)
    states: tuple[State, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))
        object.__setattr__(self, "constants", MappingProxyType(dict(self.constants)))

    def value(self, name: str) -> Value:
        try:
            return self.values[name]
        except KeyError:
            raise ModelError(f"graph {self.name!r} has no value {name!r}",
                             hint="the file is damaged, or a pass forgot to declare it") from None

    def array(self, name: str) -> NDArray[np.generic]:
        """The numbers of constant ``name``."""
        try:
            return self.constants[name].array
        except KeyError:
            raise ModelError(f"value {name!r} of graph {self.name!r} is not a constant",
                             hint="it is known only when the network runs") from None

    def ins(self, node: Node) -> tuple[Value, ...]:
        return tuple(self.value(name) for name in node.inputs)

    def outs(self, node: Node) -> tuple[Value, ...]:
        return tuple(self.value(name) for name in node.outputs)

    def is_constant(self, name: str) -> bool:
        return name in self.constants

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """Value name → the node that makes it."""
        return {name: node for node in self.nodes for name in node.outputs}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """Value name → the nodes that read it, in order (a node that reads it twice stands once)."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    @cached_property
    def kept(self) -> frozenset[str]:
        """Values that are visible outside: outputs and what states write."""
        return frozenset(self.outputs) | {state.write for state in self.states}

    @cached_property
    def indices(self) -> frozenset[str]:
        """Values that are read as whole numbers which choose elements, and what they are moved from."""
        found: set[str] = set()
        for node in reversed(self.nodes):
            found.update(node.inputs[index] for index in node.op.index_inputs)
            if node.op.same_quant and found & {*node.outputs} and not node.op.index_inputs:
                found.update(node.inputs)
        return frozenset(found)

    def sole_consumer(self, name: str) -> Node | None:
        """The only node that reads ``name``, or None: read by several, by none, or visible outside."""
        readers = self.consumers.get(name, ())
        return readers[0] if len(readers) == 1 and name not in self.kept else None

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that the graph is, names included; equal graphs have equal digests."""
        sha = hashlib.sha256(repr((self.name, self.level.value, self.inputs, self.outputs, self.nodes, self.states)).encode())
        for name in sorted(self.values):
            sha.update(repr(self.values[name]).encode())
        for name in sorted(self.constants):
            constant = self.constants[name]
            sha.update(f"{name}{constant.array.dtype}{constant.array.shape}".encode())
            sha.update(constant.array.tobytes())
            if constant.structure is not None:
                parts = constant.structure
                sha.update(repr((parts.pattern, parts.bits) if parts.group is None else (parts.pattern, parts.bits, parts.group)).encode())
                for extra in (parts.mask, parts.codebook):
                    sha.update(b"-" if extra is None else extra.tobytes())
        return sha.hexdigest()
