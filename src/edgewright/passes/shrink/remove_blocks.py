"""Depth reduced: residual blocks, and layers that keep their shape, taken out where the network needs them least."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.analysis.linear import linear
from edgewright.ir.edit import replace_nodes
from edgewright.ir.graph import Graph
from edgewright.ops.evaluate import evaluate
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.side_by_side import affordable
from edgewright.passes.surgery.prices import Price, budgeted
from edgewright.passes.surgery.refit import refit

MOST_SAMPLES = 256
"""Samples that the outputs are compared on."""
REFIT_SAMPLES = 1024


@graph_pass(level="float", exact=False, needs_data=True)
def remove_blocks(graph: Graph, ctx: Context, *, budget: float = 0.75, cost: str = "macs", refit_layers: bool = True) -> Graph:
    """Take out whole blocks, the one that matters least for what it costs first, until the network costs no more than ``budget``.

    A block goes from one value to another of the same shape, and nothing within is read outside: a residual block whose shortcut is the
    identity, or a layer that keeps its shape; what read its output reads its input. What it matters is measured: the squared distance of
    the network's outputs without it, on calibration data, as a share of their variance; anew after each (residual networks bear the loss
    of single blocks: Veit et al. 2016, arXiv:1605.06431). ``budget``: below 1, the share of the present cost that may remain; from 1 on,
    the cost itself. ``cost``: macs, parameters, or what is known of the target. ``refit_layers``: the layers behind are refitted to what
    they gave before, by least squares on the calibration data.
    """
    price, present, most = budgeted("remove_blocks", graph, ctx, budget, cost)
    if present <= most:
        ctx.skipped(graph.name, f"{cost} are {present:,.0f} already, {most:,.0f} may remain")
        return graph
    data = ctx.calibration()
    count = affordable(graph, min(REFIT_SAMPLES, data.count))
    inputs = [array[:count] for array in data.inputs]
    wanted = evaluate(graph, [array[:MOST_SAMPLES] for array in inputs])
    after = graph
    while price(after) > most:
        choice = min(_choices(after, price, inputs, wanted), key=lambda choice: choice.distance / choice.saved, default=None)
        if choice is None:
            ctx.skipped(graph.name, f"{cost} stay at {price(after):,.0f}, above {most:,.0f}: no other block keeps its shape")
            break
        after = choice.without
        ctx.did(choice.name, f"taken out with {choice.layers} layers: the outputs move by {choice.distance:.1%} of their variance")
    if after is graph:
        return graph
    if refit_layers and graph.states:
        ctx.skipped(graph.name, "networks with states are not refitted: calibration samples do not follow each other in time")
    elif refit_layers:
        after, mended = refit(graph, after, inputs, {})
        for line in mended:
            ctx.did(line.name, f"refitted: error of its outputs {line.before:.1%}, now {line.after:.1%}")
    ctx.did(graph.name, f"{cost}: {present:,.0f} to {price(after):,.0f}")
    return after


@dataclass(frozen=True)
class _Choice:
    """A block: the network without it, how far its outputs are from what they were, and what that saves."""

    name: str
    layers: int
    without: Graph
    distance: float
    saved: float


def _choices(
    graph: Graph, price: Price, inputs: list[NDArray[np.float32]], wanted: list[NDArray[np.generic]]
) -> Iterator[_Choice]:
    few = [array[:MOST_SAMPLES] for array in inputs]
    present = price(graph)
    for entry, end, layers in _blocks(graph):
        without = replace_nodes(graph, {}, rename={end: entry})
        saved = present - price(without)
        if saved > 0:
            yield _Choice(graph.producers[end].name, layers, without, _distance(evaluate(without, few), wanted), saved)


def _distance(found: list[NDArray[np.generic]], wanted: list[NDArray[np.generic]]) -> float:
    total = 0.0
    for after, before in zip(found, wanted, strict=True):
        variance = float(np.var(before.astype(np.float64), axis=0).mean()) or 1.0
        total += float(np.square(after.astype(np.float64) - before.astype(np.float64)).mean()) / variance
    return total / len(wanted)


def _blocks(graph: Graph) -> Iterator[tuple[str, str, int]]:
    """(first value, last value, layers between): the smallest blocks, one for each value that ends one."""
    above = _dominators(graph)
    for node in graph.nodes:
        if len(node.outputs) != 1 or node.outputs[0] in graph.kept:
            continue
        (end,) = node.outputs
        entry = above.get(end)
        while entry is not None:
            if graph.value(entry) == dataclasses.replace(graph.value(end), name=entry) and (layers := _within(graph, entry, end)):
                yield entry, end, layers
                break
            entry = above.get(entry)


def _dominators(graph: Graph) -> dict[str, str]:
    """Value → the last one before it that everything which reaches it from the network's inputs and states passes through."""
    depth = dict.fromkeys((*graph.inputs, *(state.read for state in graph.states)), 0)
    above: dict[str, str] = {}
    for node in graph.nodes:
        ends = [name for name in dict.fromkeys(node.inputs) if not graph.is_constant(name)]
        meet: str | None = ends[0] if ends else None
        for other in ends[1:]:
            there: str | None = other
            while meet != there and meet is not None and there is not None:
                if depth[meet] >= depth[there]:
                    meet = above.get(meet)
                else:
                    there = above.get(there)
            meet = meet if meet == there else None
        for name in node.outputs:
            depth[name] = 0 if meet is None else depth[meet] + 1
            if meet is not None:
                above[name] = meet
    return above


def _within(graph: Graph, entry: str, end: str) -> int:
    """How many layers with weights lie between; 0 where something else reads what is within, or what is within reads something else."""
    inside: set[str] = set()
    front = [end]
    while front:
        name = front.pop()
        if name == entry or name in inside or graph.is_constant(name):
            continue
        maker = graph.producers.get(name)
        if maker is None:
            return 0
        inside.add(name)
        front += maker.inputs
    makers = {graph.producers[name].name for name in inside}
    read = [name for name in inside - {end} if name in graph.kept or any(node.name not in makers for node in graph.consumers.get(name, ()))]
    return 0 if read else sum(linear(graph, graph.producers[name]) is not None for name in inside)
