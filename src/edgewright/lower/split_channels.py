"""Layers computed a few channels at a time: a convolution to many channels and what then keeps channels apart, such as global pooling.

Exact, and nothing is computed twice: each part has its own rows of the weights.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Constant, Graph, Node, Value
from edgewright.ir.operator import Axis
from edgewright.lower.tile_shape import Region, data_inputs
from edgewright.ops.concat import Concat


@dataclass(frozen=True)
class Split:
    """The layers of ``region`` run ``parts`` times, each for as many channels of the exit."""

    region: Region
    parts: int


@dataclass(frozen=True)
class SplitPiece:
    """What a region becomes: its nodes, and the values and constants that are new."""

    nodes: tuple[Node, ...]
    values: tuple[Value, ...]
    constants: Mapping[str, Constant]


def split_axes(graph: Graph, region: Region) -> dict[str, dict[int, int]] | None:
    """Node name → {index of a constant input: its axis that goes with the output's channels}; None where the region cannot be split.

    The first node sees all channels of the entry, each other one keeps channels apart, as their couplings say.
    """
    found: dict[str, dict[int, int]] = {}
    nodes = graph.nodes[region.first : region.last]
    for position, node in enumerate(nodes):
        ins, outs = graph.ins(node), graph.outs(node)
        couplings = node.op.couplings(ins, outs)
        if couplings is None or len(outs) != 1 or len(data_inputs(graph, node)) != 1 or graph.is_constant(node.inputs[0]):
            return None
        if node.inputs[0] != (region.entry if position == 0 else nodes[position - 1].outputs[0]):
            return None
        along = {Axis("out", 0, outs[0].rank - 1)}
        for _ in ins:
            for coupling in couplings:
                pair = {coupling.first, coupling.second}
                same = coupling.pairs is None or bool(np.all(coupling.pairs[:, 0] == coupling.pairs[:, 1]))
                if same and pair & along:
                    along |= pair
        if (Axis("in", 0, ins[0].rank - 1) in along) == (position == 0):
            return None
        found[node.name] = {axis.index: axis.axis for axis in along if axis.side == "in" and axis.index > 0}
    return found if nodes else None


def split_region(graph: Graph, split: Split, axes: Mapping[str, Mapping[int, int]]) -> SplitPiece | None:
    """The nodes that compute the region part by part; None where an operator does not take parts of its channels."""
    channels = int(graph.value(split.region.exit).shape[-1] or 1)
    edges = [channels * part // split.parts for part in range(split.parts + 1)]
    nodes: list[Node] = []
    values: list[Value] = []
    constants: dict[str, Constant] = {}
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        read = split.region.entry
        for node in graph.nodes[split.region.first : split.region.last]:
            inputs = [read]
            for index, name in enumerate(node.inputs[1:], start=1):
                if index in axes[node.name]:
                    value, constant = _slice(graph, name, axes[node.name][index], start, stop, f"{name}/{number}")
                    values.append(value)
                    constants[value.name] = constant
                    name = value.name
                inputs.append(name)
            out = graph.outs(node)[0]
            read = f"{out.name}/{number}"
            values.append(dataclasses.replace(out, name=read, shape=(*out.shape[:-1], stop - start)))
            nodes.append(Node(f"{node.name}/{number}", node.op, tuple(inputs), (read,)))
    known = {value.name: value for value in values}
    for node in nodes:
        try:
            shapes = node.op.infer([known.get(name) or graph.value(name) for name in node.inputs])
        except ModelError:
            return None
        if shapes != (known[node.outputs[0]].shape,):
            return None
    last = graph.nodes[split.region.last - 1]
    parts = tuple(f"{split.region.exit}/{number}" for number in range(split.parts))
    rank = graph.value(split.region.exit).rank
    nodes.append(Node(f"{last.name}/join", Concat(rank - 1), parts, (split.region.exit,)))
    return SplitPiece(tuple(nodes), tuple(values), constants)


def _slice(graph: Graph, name: str, axis: int, start: int, stop: int, part: str) -> tuple[Value, Constant]:
    """Indices ``start`` … ``stop`` - 1 of constant ``name`` along ``axis``."""
    value = graph.value(name)
    array = graph.array(name)
    quant: Quant | None = value.quant
    if quant is not None and quant.axis == axis:
        quant = dataclasses.replace(quant, scale=quant.scale[start:stop], zero_point=quant.zero_point[start:stop])
    picked = np.ascontiguousarray(array[(slice(None),) * axis + (slice(start, stop),)])
    return dataclasses.replace(value, name=part, shape=tuple(picked.shape), quant=quant), Constant(picked)
