"""Branches that are joined under one scale, brought to a like size."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgewright.analysis.crossings import Arrays, Crossing, readers_behind
from edgewright.analysis.linear import Linear, linear, rows_are_channels
from edgewright.ir.graph import Graph, Node, Value
from edgewright.ops.concat import Concat
from edgewright.ops.evaluate import evaluate_in_order
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float", exact=True, needs_data=True)
def balance_joins(graph: Graph, ctx: Context) -> Graph:
    """Enlarge the smaller branches of each concatenation of channels by a power of two, which the layers behind it take back.

    A joined value has one scale: a branch that is small beside the others would be left a few of its steps. Only branches that a layer
    with weights makes, through nothing but what keeps factors, and joins that such layers alone read. Run it after fold_batchnorm.
    Reason: cross-layer equalization (Nagel et al. 2019, arXiv:1906.04721) stops where data join.
    """
    joins = [found for node in graph.nodes if (found := _branches(graph, node))]
    if not joins:
        return graph
    peaks = _peaks(graph, ctx, {name for branches in joins for name, _ in branches})
    arrays, touched = Arrays(graph), list[Crossing]()
    for branches in joins:
        largest = max(peaks.get(name, 0.0) for name, _ in branches)
        for name, crossing in branches:
            peak = peaks.get(name, 0.0)
            factor = 2.0 ** np.floor(np.log2(largest / peak)) if peak > 0 else 1.0
            if crossing is not None and factor > 1 and np.isfinite(factor):
                arrays.move(crossing, np.full(len(arrays.weight(crossing.maker)), factor))
                touched.append(crossing)
                readers = ", ".join(part.node.name for part, _, _ in crossing.readers)
                ctx.did(crossing.maker.node.name, f"its branch enlarged {factor:g} times, {readers} inversely")
            elif crossing is None and factor > 1:
                ctx.skipped(name, f"a branch {factor:g} times smaller than what it is joined with stays: no layer alone makes it")
    return arrays.apply(touched) if touched else graph


def _branches(graph: Graph, node: Node) -> list[tuple[str, Crossing | None]]:
    """Each input of a concatenation of channels, and how a factor moves from its maker to the readers, None where none does."""
    rank = graph.value(node.outputs[0]).rank
    if not isinstance(node.op, Concat) or node.op.axis != rank - 1 or len({*node.inputs}) < 2:
        return []
    ends = readers_behind(graph, node.outputs[0])
    if ends is None or ends[1]:
        return []
    found: list[tuple[str, Crossing | None]] = []
    offset = 0
    for name in node.inputs:
        size = int(graph.value(name).shape[-1] or 0)
        maker = None if graph.is_constant(name) else _maker(graph, name)
        readers = []
        for part, axis, pairs in ends[0]:
            own = pairs[(pairs[:, 0] >= offset) & (pairs[:, 0] < offset + size)]
            readers.append((part, axis, own - np.array([[offset, 0]])))
        found.append((name, None if maker is None else Crossing(maker, tuple(readers), (), (node.outputs[0],))))
        offset += size
    return found


def _maker(graph: Graph, name: str) -> Linear | None:
    """The layer whose rows are the channels of ``name``, read by nobody else on the way."""
    while graph.sole_consumer(name) is not None:
        node = graph.producers.get(name)
        if node is None or getattr(node.op, "activation", "none") not in ("none", "relu"):
            return None
        part = linear(graph, node)
        if part is not None:
            read_once = all(len(graph.consumers[constant]) == 1 for constant in (part.weight, part.bias) if constant is not None)
            return part if read_once and rows_are_channels(graph, part) else None
        if not node.op.homogeneous or len(node.inputs) != 1 or graph.value(node.inputs[0]).shape[-1] != graph.value(name).shape[-1]:
            return None
        name = node.inputs[0]
    return None


def _peaks(graph: Graph, ctx: Context, wanted: set[str]) -> dict[str, float]:
    """The largest magnitude of each value on calibration data."""
    seen: dict[str, float] = {}

    def observe(value: Value, x: Tensor) -> None:
        if value.name in wanted and x.numel():
            seen[value.name] = max(seen.get(value.name, 0.0), float(torch.max(x.abs())))

    evaluate_in_order(graph, ctx.calibration().inputs, observe=observe)
    return seen
