"""Channels that cannot matter leave the network."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from edgewright.analysis.channels import ChannelGroups, ValueAxis, channel_groups, contractions, keep_one, operand, remove_channels, to_fill
from edgewright.analysis.known import Known, known_elements
from edgewright.analysis.linear import Edits, FloatArray, Linear, bias_array, contribution, input_channels, linear
from edgewright.errors import RecipeError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph, Node
from edgewright.ir.operator import Axis
from edgewright.passes.registry import Context, graph_pass

Indices = NDArray[np.int64]


@graph_pass(level="float|integer", exact=True)
def remove_dead_channels(graph: Graph, ctx: Context, *, multiple: int = 0) -> Graph:
    """Remove channels that are constant (their value goes into the bias of what reads them) and channels that nobody reads.

    A channel is constant where only constants reach it through weights that are not zero; it is unread where every weight that reads it is
    zero, or where it is sliced away. It leaves together with its partners through residual additions, depthwise convolutions,
    concatenations, flattened axes and states, and only if nothing that depends on it changes: a constant channel under a padding of
    another value stays. Integer outputs keep every byte.

    ``multiple``: where as many channels are there, as many dead ones stay as make the count a multiple of this; 0: of what the target's
    kernels are quick with (383 channels can take twice the time of 384).
    """
    if multiple < 0:
        raise RecipeError(f"remove_dead_channels: multiple is {multiple}", hint="1 removes every dead channel, 0 asks the target")
    unit = multiple or (ctx.target.channel_multiple if ctx.target is not None else 1)
    while True:
        groups = channel_groups(graph)
        readers, held = _readers(graph, groups)
        chosen, folded = _choose(graph, groups, readers, held)
        while kept := to_fill(groups, chosen, unit):
            held[list(kept)] = True
            _tell_kept(graph, groups, kept, unit, ctx)
            chosen, folded = _choose(graph, groups, readers, held)
        if not chosen:
            break
        _report(graph, groups, chosen, readers, ctx)
        graph = _remove(graph, groups, chosen, folded)
    for reader in readers:
        if reader.uneven:
            ctx.skipped(reader.part.node.name, f"{reader.uneven} constant input channels stay: a padding of another value adjoins them")
    return graph


@dataclasses.dataclass
class _Reader:
    """A node that sums over channels: what it takes for each of them to leave."""

    part: Linear
    labels: Indices
    """The group of each input channel."""
    terms: dict[int, FloatArray]
    """Constant input channel that is read → what it adds to the sums of each output channel, wherever that is the same everywhere."""
    uneven: int = 0
    """Known channels whose contribution depends on the position."""

    def bias(self, graph: Graph, chosen: set[int], edits: Edits) -> str | None:
        """The bias with the terms of the channels that leave in it; None where it does not fit into its integers."""
        total = bias_array(graph, self.part)
        for channel, term in self.terms.items():
            if int(self.labels[channel]) in chosen:
                total = total + term
        return edits.bias(self.part, total)

    def folds(self, chosen: set[int]) -> set[int]:
        """Those of ``chosen`` whose value goes into the bias."""
        return {int(self.labels[channel]) for channel in self.terms} & chosen


def _readers(graph: Graph, groups: ChannelGroups) -> tuple[list[_Reader], NDArray[np.bool_]]:
    """What reads channels by summing over them, and by group whether it must stay on account of any reader."""
    held = groups.pinned.copy()
    known = known_elements(graph)
    readers = []
    for node in graph.nodes:
        summed = contractions(graph, node)
        part = linear(graph, node)
        last = Axis("in", 0, graph.value(node.inputs[0]).rank - 1) if node.inputs else None
        for end, mask in summed.items():
            if part is None or (end != last and end.index != 1):
                held[groups.labels[operand(node, end)][mask]] = True
        if part is not None and last in summed and summed[last].any():
            readers.append(_read(graph, groups, part, known.get(part.data), held))
    return readers, held


def _read(graph: Graph, groups: ChannelGroups, part: Linear, known: Known | None, held: NDArray[np.bool_]) -> _Reader:
    """The reader ``part``; marks in ``held`` the channels that it needs."""
    reader = _Reader(part, groups.labels[part.data, graph.value(part.data).rank - 1], {})
    meeting = input_channels(graph, part)
    if meeting is None:
        held[reader.labels] = True
        return reader
    axis, pairs = meeting
    weight = np.moveaxis(graph.array(part.weight), axis, 0)
    patterned = _has_pattern(graph, part.weight)
    used_rows = np.abs(weight.astype(np.float64)).reshape(len(weight), -1).sum(axis=1) > 0
    slabs = np.zeros(len(reader.labels), bool) if known is None else known.slabs(known.mask.ndim - 1)
    for channel in np.unique(pairs[:, 0]):
        rows = pairs[pairs[:, 0] == channel, 1]
        label = reader.labels[channel]
        if patterned:
            held[label] = True
        if held[label] or not used_rows[rows].any():
            continue
        term = _term(graph, part, known, int(channel), rows, axis) if known is not None and slabs[channel] else None
        if term is None:
            held[label] = True
            reader.uneven += bool(slabs[channel])
        else:
            reader.terms[int(channel)] = term
    return reader


def _term(graph: Graph, part: Linear, known: Known, channel: int, rows: Indices, axis: int) -> FloatArray | None:
    quant = graph.value(part.data).quant
    data = known.array[..., [channel]].astype(np.float64) - (0 if quant is None else quant.zero_point[0])
    return contribution(graph, part, data, np.take(graph.array(part.weight), rows, axis).astype(np.float64))


def _has_pattern(graph: Graph, name: str) -> bool:
    """Whether the constant keeps n of m along its input axis: taking single indices out of that axis would break it."""
    structure = graph.constants[name].structure
    return structure is not None and structure.pattern is not None


def _choose(graph: Graph, groups: ChannelGroups, readers: list[_Reader], held: NDArray[np.bool_]) -> tuple[set[int], Edits]:
    """The groups that leave, and the biases that take over their values."""
    while True:
        chosen = keep_one(groups, np.flatnonzero(~held).tolist())
        edits = Edits(graph)
        failed: set[int] = set()
        for reader in readers:
            node = reader.part.node
            if not any(term.any() for channel, term in reader.terms.items() if int(reader.labels[channel]) in chosen):
                continue
            bias = reader.bias(graph, chosen, edits)
            if bias is None:
                failed |= reader.folds(chosen)
            else:
                edits.nodes[node.name] = [dataclasses.replace(node, inputs=(*node.inputs[:2], bias))]
        if not failed:
            return chosen, edits
        held[list(failed)] = True


def _tell_kept(graph: Graph, groups: ChannelGroups, kept: set[int], unit: int, ctx: Context) -> None:
    for (name, axis), indices in groups.members(kept).items():
        maker = graph.producers.get(name)
        if maker is not None and linear(graph, maker) is not None and axis == graph.value(name).rank - 1:
            ctx.skipped(maker.name, f"{len(indices)} dead channels stay: a count that {unit} divides is faster on the target")


def _remove(graph: Graph, groups: ChannelGroups, chosen: set[int], edits: Edits) -> Graph:
    removed: dict[ValueAxis, Indices] = groups.members(chosen)
    nodes: list[Node] = []
    for node in graph.nodes:
        (node,) = edits.nodes.get(node.name, [node])
        if len(node.inputs) > 2 and node.inputs[2] in edits.constants and (node.inputs[1], 0) in removed:
            removed[node.inputs[2], 0] = removed[node.inputs[1], 0]
        nodes.append(node)
    return remove_channels(rebuild(graph, nodes=nodes, values=edits.values.values(), constants=edits.constants), removed)


def _report(graph: Graph, groups: ChannelGroups, chosen: set[int], readers: list[_Reader], ctx: Context) -> None:
    constant = set().union(*(reader.folds(chosen) for reader in readers)) if readers else set()
    for (name, axis), indices in groups.members(chosen).items():
        maker = graph.producers.get(name)
        value = graph.value(name)
        if maker is None or linear(graph, maker) is None or axis != value.rank - 1:
            continue
        folded = sum(int(label) in constant for label in groups.labels[name, axis][indices])
        ctx.did(maker.name, f"{len(indices)} of {value.shape[axis]} channels removed: {folded} constant, {len(indices) - folded} unread")
