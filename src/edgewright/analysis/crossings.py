"""Values on which a layer's rows meet the next layers' columns, so that a factor for each channel can move from one side to the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.analysis.linear import Edits, FloatArray, Linear, bias_array, input_channels, linear, rows_are_channels, scale_structure
from edgewright.ir.graph import Graph, Node
from edgewright.ir.operator import Axis
from edgewright.ops.relu6 import Relu6

PASSED = ("none", "relu", "relu6")
"""Fused activations through which factors above zero pass, relu6 as long as nothing reaches 6."""


@dataclass(frozen=True, eq=False)
class Crossing:
    """What ``maker`` gives goes, channel by channel, to ``readers`` alone: each with the weight axis that meets the channels, and pairs
    (channel, index along that axis).

    ``clipped``: the values that leave a relu6 on the way: no channel may be moved up to its 6. ``read``: the values that the readers read.
    """

    maker: Linear
    readers: tuple[tuple[Linear, int, NDArray[np.int64]], ...]
    clipped: tuple[str, ...]
    read: tuple[str, ...]

    def told(self, factors: FloatArray) -> str:
        """A line for the report on channels moved by ``factors``."""
        readers = ", ".join(part.node.name for part, _, _ in self.readers)
        return f"{len(factors)} channels scaled by {factors.min():.3g} … {factors.max():.3g}, {readers} inversely"


def crossings(graph: Graph) -> list[Crossing]:
    """Every crossing of float ``graph``, in the order of its nodes.

    Layers whose weight others read too, readers with a codebook, and what is visible outside or joins other data are left out.
    """
    found = []
    for node in graph.nodes:
        maker = linear(graph, node)
        if maker is None or maker.activation not in PASSED or not rows_are_channels(graph, maker) or _shared(graph, maker):
            continue
        ends = readers_behind(graph, node.outputs[0])
        if ends:
            clipped = ((node.outputs[0],) if maker.activation == "relu6" else ()) + ends[1]
            found.append(Crossing(maker, ends[0], clipped, tuple(reader[0].data for reader in ends[0])))
    return found


def readers_behind(graph: Graph, name: str) -> tuple[tuple[tuple[Linear, int, NDArray[np.int64]], ...], tuple[str, ...]] | None:
    """The readers at the end of every way from value ``name``, and the values behind a relu6; None where a way leads elsewhere."""
    if name in graph.kept or not graph.consumers.get(name):
        return None
    readers: list[tuple[Linear, int, NDArray[np.int64]]] = []
    clipped: list[str] = []
    for node in graph.consumers[name]:
        part = linear(graph, node)
        if part is not None:
            meeting = input_channels(graph, part)
            structure = graph.constants[part.weight].structure
            if meeting is None or _shared(graph, part) or (structure is not None and structure.codebook is not None):
                return None
            readers.append((part, *meeting))
            continue
        if not _passes(graph, node, name):
            return None
        further = readers_behind(graph, node.outputs[0])
        if further is None:
            return None
        readers += further[0]
        clipped += [*([node.outputs[0]] if _clips(node) else []), *further[1]]
    return tuple(readers), tuple(clipped)


def _passes(graph: Graph, node: Node, name: str) -> bool:
    """Whether a factor for each channel of ``name`` passes through ``node`` to the same channels of its one output."""
    if not (node.op.homogeneous or isinstance(node.op, Relu6)) or len(node.outputs) != 1 or node.inputs[0] != name:
        return False
    if getattr(node.op, "activation", "none") not in PASSED:
        return False
    wanted = Axis("in", 0, graph.value(name).rank - 1), Axis("out", 0, graph.value(node.outputs[0]).rank - 1)
    couplings = node.op.couplings(graph.ins(node), graph.outs(node)) or ()
    return any((coupling.first, coupling.second) == wanted and coupling.pairs is None for coupling in couplings)


def _clips(node: Node) -> bool:
    return isinstance(node.op, Relu6) or getattr(node.op, "activation", "none") == "relu6"


def _shared(graph: Graph, part: Linear) -> bool:
    return any(name is not None and len(graph.consumers[name]) > 1 for name in (part.weight, part.bias))


class Arrays:
    """Weights and biases of the layers of ``graph`` in float64, as factors move through them."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._parts: dict[str, Linear] = {}
        self._weights: dict[str, FloatArray] = {}
        self._biases: dict[str, FloatArray] = {}
        self._rows: dict[str, FloatArray] = {}

    def weight(self, part: Linear) -> FloatArray:
        """As it is now."""
        if part.node.name not in self._weights:
            weight = self.graph.array(part.weight).astype(np.float64)
            self._parts[part.node.name] = part
            self._weights[part.node.name], self._biases[part.node.name] = weight, bias_array(self.graph, part)
            self._rows[part.node.name] = np.ones(len(weight))
        return self._weights[part.node.name]

    def rows(self, crossing: Crossing) -> FloatArray:
        """The largest weight of each of the maker's rows: (C,)."""
        weight = self.weight(crossing.maker)
        return np.asarray(np.abs(weight).reshape(len(weight), -1).max(1, initial=0.0))

    def columns(self, crossing: Crossing) -> FloatArray:
        """The largest weight that each channel meets in any reader: (C,)."""
        largest = np.zeros(len(self.weight(crossing.maker)))
        for part, axis, pairs in crossing.readers:
            weight = np.abs(np.moveaxis(self.weight(part), axis, 0))
            np.maximum.at(largest, pairs[:, 0], weight.reshape(len(weight), -1).max(1, initial=0.0)[pairs[:, 1]])
        return largest

    def move(self, crossing: Crossing, factors: FloatArray) -> None:
        """Multiply the maker's rows and bias by ``factors`` (C,), above zero, and divide the readers' columns by them."""
        maker = crossing.maker
        self._weights[maker.node.name] = self.weight(maker) * _along(factors, 0, self.weight(maker).ndim)
        self._biases[maker.node.name] = self._biases[maker.node.name] * factors
        self._rows[maker.node.name] = self._rows[maker.node.name] * factors
        for part, axis, pairs in crossing.readers:
            weight = self.weight(part)
            divisors = np.ones(weight.shape[axis])
            divisors[pairs[:, 1]] = factors[pairs[:, 0]]
            self._weights[part.node.name] = weight / _along(divisors, axis, weight.ndim)

    def apply(self, moved: Sequence[Crossing]) -> Graph:
        """The graph with the arrays of the layers on either side of crossings ``moved``; masks stay, a codebook follows its rows."""
        edits = Edits(self.graph)
        parts = [part for crossing in moved for part in (crossing.maker, *(reader[0] for reader in crossing.readers))]
        for name in dict.fromkeys(part.node.name for part in parts):
            part = self._parts[name]
            structure = scale_structure(self.graph.constants[part.weight].structure, self._rows[name])
            inputs = [part.data, edits.weight(part, self._weights[name], structure)]
            if part.bias is not None:
                bias = edits.bias(part, self._biases[name])
                assert bias is not None
                inputs.append(bias)
            edits.nodes[name] = [Node(name, part.node.op, tuple(inputs), part.node.outputs)]
        return edits.apply()


def _along(numbers: FloatArray, axis: int, rank: int) -> FloatArray:
    return numbers.reshape([-1 if place == axis else 1 for place in range(rank)])


def headroom(crossing: Crossing, peaks: Mapping[str, FloatArray]) -> FloatArray | None:
    """How far each channel is from the 6 of a relu6 on the way, as a factor: 1 where it reaches it. None where nothing clips.

    ``peaks``: the largest number of each channel, by value name.
    """
    if not crossing.clipped:
        return None
    free = np.full(len(peaks[crossing.clipped[0]]), math.inf)
    for name in crossing.clipped:
        free = np.minimum(free, 6.0 / np.clip(peaks[name], 1e-6, 6.0))
    return free
