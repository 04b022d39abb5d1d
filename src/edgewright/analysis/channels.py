"""Which indices of which axes can only leave together, and their removal from a whole graph.

The groups come from what the operators say (:meth:`Operator.couplings`): removing a channel of one value removes its partners in weights,
residual additions, depthwise convolutions, concatenations, flattened axes and states. Whether a group *may* leave is its user's question.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Node, Structure, Value
from edgewright.ir.operator import Axis, Coupling

ValueAxis = tuple[str, int]
"""A value's name and one of its axes."""
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ChannelGroups:
    """Every index along every axis of every value, in groups that leave together.

    ``labels``: (value, axis) → the group of each index. ``pinned``: by group, True where something in it cannot leave: it reaches a graph
    input or output, the batch, or an operand that its operator cannot resize.
    """

    labels: Mapping[ValueAxis, Indices]
    pinned: NDArray[np.bool_]

    @property
    def count(self) -> int:
        return len(self.pinned)

    @cached_property
    def _sorted(self) -> tuple[Indices, Indices, list[ValueAxis], Indices, Indices]:
        axes = list(self.labels)
        sizes = [len(self.labels[key]) for key in axes]
        group = np.concatenate([self.labels[key] for key in axes]) if axes else np.zeros(0, np.int64)
        owner = np.repeat(np.arange(len(axes)), sizes)
        index = np.concatenate([np.arange(size) for size in sizes]) if axes else np.zeros(0, np.int64)
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], np.arange(self.count + 1))
        return owner[order], index[order], axes, group[order], starts

    def members(self, groups: Collection[int]) -> dict[ValueAxis, Indices]:
        """(value, axis) → the indices, ascending, that belong to any of ``groups``."""
        owner, index, axes, _, starts = self._sorted
        spans = [np.arange(starts[group], starts[group + 1]) for group in groups]
        where = np.concatenate(spans) if spans else np.zeros(0, np.int64)
        found = {}
        for number in np.unique(owner[where]):
            found[axes[int(number)]] = np.sort(index[where[owner[where] == number]])
        return found


def channel_groups(graph: Graph) -> ChannelGroups:
    """The groups of ``graph``. An axis that an operator's couplings do not name is pinned, and so are axes of an operator that has none."""
    numbers = _Numbers(graph)
    edges: list[tuple[Indices, Indices]] = []
    pinned = np.zeros(numbers.count, bool)
    for name, value in graph.values.items():
        outside = name in graph.inputs or name in graph.outputs
        for axis in range(value.rank):
            if outside or (axis == 0 and not graph.is_constant(name)):
                pinned[numbers.of(name, axis)] = True
    for node in graph.nodes:
        couplings = node.op.couplings(graph.ins(node), graph.outs(node))
        named = set()
        for coupling in couplings or ():
            ends = [operand(node, end) for end in (coupling.first, coupling.second)]
            named.update(ends)
            pairs = coupling_pairs(graph, node, coupling)
            edges.append((numbers.of(*ends[0])[pairs[:, 0]], numbers.of(*ends[1])[pairs[:, 1]]))
        for name in {*node.inputs, *node.outputs}:
            for axis in range(graph.value(name).rank):
                if (name, axis) not in named:
                    pinned[numbers.of(name, axis)] = True
    for state in graph.states:
        for axis in range(graph.value(state.read).rank):
            read = numbers.of(state.read, axis)
            edges.append((read, numbers.of(state.write, axis)))
            initial = numbers.of(state.initial, axis)
            if len(initial) == len(read):
                edges.append((read, initial))
            else:
                pinned[initial] = True
    root = _components(numbers.count, edges)
    _, label = np.unique(root, return_inverse=True)
    label = label.reshape(-1).astype(np.int64)
    held = np.zeros(int(label.max(initial=-1)) + 1, bool)
    held[label[pinned]] = True
    return ChannelGroups({key: label[numbers.of(*key)] for key in numbers.axes}, held)


def operand(node: Node, axis: Axis) -> ValueAxis:
    """The value that stands at ``axis`` of ``node``, and which of its axes that is."""
    return (node.inputs if axis.side == "in" else node.outputs)[axis.index], axis.axis


def coupling_pairs(graph: Graph, node: Node, coupling: Coupling) -> Indices:
    """The pairs of ``coupling``, written out: (n, 2)."""
    if coupling.pairs is not None:
        return np.asarray(coupling.pairs, np.int64).reshape(-1, 2)
    name, axis = operand(node, coupling.first)
    index = np.arange(int(graph.value(name).shape[axis] or 0), dtype=np.int64)
    return np.stack([index, index], axis=1)


def contractions(graph: Graph, node: Node) -> dict[Axis, NDArray[np.bool_]]:
    """By input axis: the indices that ``node`` sums over, that is, couples with another input but with no output."""
    couplings = node.op.couplings(graph.ins(node), graph.outs(node)) or ()
    ends = list(dict.fromkeys(end for coupling in couplings for end in (coupling.first, coupling.second)))
    first: dict[Axis, Indices] = {}
    count = 0
    for end in ends:
        name, axis = operand(node, end)
        size = int(graph.value(name).shape[axis] or 0)
        first[end] = np.arange(count, count + size, dtype=np.int64)
        count += size
    edges = []
    for coupling in couplings:
        pairs = coupling_pairs(graph, node, coupling)
        edges.append((first[coupling.first][pairs[:, 0]], first[coupling.second][pairs[:, 1]]))
    root = _components(count, edges)
    reaches_output = np.zeros(count, bool)
    for end in ends:
        if end.side == "out":
            reaches_output[root[first[end]]] = True
    partners = np.bincount(root, minlength=count)
    return {end: ~reaches_output[root[first[end]]] & (partners[root[first[end]]] > 1) for end in ends if end.side == "in"}


def remove_channels(graph: Graph, removed: Mapping[ValueAxis, Indices]) -> Graph:
    """``graph`` without the indices ``removed``: whole groups (:meth:`ChannelGroups.members`) that leave something of every axis."""
    by_value: dict[str, dict[int, Indices]] = {}
    for (name, axis), indices in removed.items():
        if len(indices):
            by_value.setdefault(name, {})[axis] = indices
    if not by_value:
        return graph
    values = [shrink_value(graph.value(name), axes) for name, axes in by_value.items()]
    constants = {name: shrink_constant(graph.constants[name], axes) for name, axes in by_value.items() if graph.is_constant(name)}
    return rebuild(graph, nodes=[_resize(graph, node, by_value) for node in graph.nodes], values=values, constants=constants)


def shrink_value(value: Value, removed: Mapping[int, Indices]) -> Value:
    """``value`` without the indices ``removed`` (by axis): shape and per-axis quantization follow."""
    shape = list(value.shape)
    quant = value.quant
    for axis, indices in removed.items():
        size = shape[axis]
        assert size is not None
        shape[axis] = size - len(indices)
        if quant is not None and quant.axis == axis:
            quant = quant.take(np.delete(np.arange(size), indices))
    return dataclasses.replace(value, shape=tuple(shape), quant=quant)


def shrink_constant(constant: Constant, removed: Mapping[int, Indices]) -> Constant:
    """``constant`` without the indices ``removed`` (by axis); what is known of its numbers stays known as far as it still holds."""
    array, structure = constant.array, constant.structure
    mask = None if structure is None else structure.mask
    for axis, indices in removed.items():
        array = np.delete(array, indices, axis)
        mask = None if mask is None else np.delete(mask, indices, axis)
    if structure is None:
        return Constant(array)
    codebook = structure.codebook
    if codebook is not None and codebook.ndim > 1 and len(codebook) == constant.array.shape[0] and 0 in removed:
        codebook = np.delete(codebook, removed[0], 0)
    pattern = structure.pattern
    if pattern is not None and array.ndim - 1 in removed and not _holds(array, pattern):
        pattern = None
    group = None if array.ndim - 1 in removed else structure.group
    return Constant(array, Structure(mask, pattern, codebook, structure.bits, group))


def keep_one(groups: ChannelGroups, chosen: Iterable[int], priority: NDArray[np.floating] | None = None) -> set[int]:
    """``chosen`` without the groups that would empty an axis: of such an axis the group of highest ``priority`` (else the first) stays."""
    left = set(chosen)
    for key in groups.members(left):
        label = groups.labels[key]
        if np.isin(label, list(left)).all():
            best = 0 if priority is None else int(np.argmax(priority[label]))
            left.discard(int(label[best]))
    return left


def to_fill(groups: ChannelGroups, chosen: set[int], unit: int, priority: NDArray[np.floating] | None = None) -> set[int]:
    """Those of ``chosen`` that stay, so that ``unit`` divides what is left along every axis that is long enough for it.

    Those of highest ``priority`` stay, else the first along the axis.
    """
    kept: set[int] = set()
    while unit > 1:
        more: set[int] = set()
        for key, indices in groups.members(chosen - kept).items():
            labels = groups.labels[key]
            left = len(labels) - len(indices)
            missing = -left % unit
            if missing and left + missing <= len(labels):
                order = indices if priority is None else indices[np.argsort(-priority[labels[indices]], kind="stable")]
                more |= {int(label) for label in labels[order[:missing]]}
        if not more:
            break
        kept |= more
    return kept


def _holds(array: NDArray[np.generic], pattern: tuple[int, int]) -> bool:
    most, of = pattern
    size = array.shape[-1]
    padded = np.zeros((*array.shape[:-1], -(-size // of) * of), bool)
    padded[..., :size] = array != 0
    return bool((padded.reshape(-1, of).sum(1) <= most).all())


def _resize(graph: Graph, node: Node, by_value: Mapping[str, Mapping[int, Indices]]) -> Node:
    removed = {}
    for side, names in (("in", node.inputs), ("out", node.outputs)):
        for index, name in enumerate(names):
            for axis, indices in by_value.get(name, {}).items():
                removed[Axis("in" if side == "in" else "out", index, axis)] = indices
    if not removed:
        return node
    return dataclasses.replace(node, op=node.op.resized(graph.ins(node), removed))


class _Numbers:
    """A number for every index of every axis of every value."""

    def __init__(self, graph: Graph) -> None:
        self._first: dict[ValueAxis, tuple[int, int]] = {}
        self.count = 0
        for name, value in graph.values.items():
            for axis, size in enumerate(value.shape):
                self._first[name, axis] = (self.count, size or 0)
                self.count += size or 0

    @property
    def axes(self) -> Iterable[ValueAxis]:
        return self._first

    def of(self, name: str, axis: int) -> Indices:
        first, size = self._first[name, axis]
        return np.arange(first, first + size, dtype=np.int64)


def _components(count: int, edges: list[tuple[Indices, Indices]]) -> Indices:
    """The smallest number that each of 0 … count-1 is connected with: labels fall along edges, and to their own label, until they rest."""
    label = np.arange(count, dtype=np.int64)
    if not edges:
        return label
    first = np.concatenate([edge[0] for edge in edges])
    second = np.concatenate([edge[1] for edge in edges])
    while True:
        low = np.minimum(label[first], label[second])
        lower = label.copy()
        for ends in (first, second):
            np.minimum.at(lower, ends, low)
            np.minimum.at(lower, label[ends], low)
        lower = lower[lower]
        if np.array_equal(lower, label):
            return label
        label = lower
