"""Mixed widths of activations: a few layers take and give int16, the rest of the network stays int8."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from edgewright.errors import RecipeError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph, Node
from edgewright.ops.evaluate import evaluate
from edgewright.passes.precision.wide_layers import activations, around, fitting, widened
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.side_by_side import affordable


@graph_pass(level="quantized", exact=False, needs_data=True)
def widen_activations(graph: Graph, ctx: Context, *, layers: str = "", count: int = 2, samples: int = 64) -> Graph:
    """Give some layers of a network of int8 activations int16 ones, with a Requantize where the width changes.

    ``layers``: their names, with commas between; ``*`` stands for anything. Without names, those ``count`` activations are taken that bring
    the network's outputs nearest to those of unrounded activations when they are left unrounded one at a time, on ``samples`` calibration
    samples: the layers that make them, and all that read them. Ranges and weights stay; an input or output of the network becomes int16
    where only such layers read or make it.
    Source: TensorFlow Lite's 16x8 quantization; sensitivity one by one as in Nagel et al. 2021 (arXiv:2106.08295), section 4.2.
    """
    if count < 1 or samples < 1:
        raise RecipeError(f"widen_activations got count {count} and samples {samples}", hint="at least 1")
    bare = [name for name, value in graph.values.items() if value.quant is None]
    if bare:
        ctx.skipped(graph.name, f"{len(bare)} values are not quantized, {bare[0]!r} is the first")
        return graph
    named = _named(graph, layers) if layers else _sensitive(graph, ctx, count, samples)
    chosen = fitting(graph, named, ctx)
    for node in chosen:
        ctx.did(node.name, f"{node.op.kind} takes and gives int16")
    return widened(graph, chosen)


def _named(graph: Graph, layers: str) -> list[Node]:
    patterns = [part.strip() for part in layers.split(",")]
    for pattern in patterns:
        if not any(fnmatchcase(node.name, pattern) for node in graph.nodes):
            known = ", ".join(node.name for node in graph.nodes[:5])
            raise RecipeError(f"{graph.name!r} has no layer {pattern!r}", hint=f"its first layers are {known}")
    return [node for node in graph.nodes if any(fnmatchcase(node.name, pattern) for pattern in patterns)]


def _sensitive(graph: Graph, ctx: Context, count: int, samples: int) -> list[Node]:
    """What makes and reads the activations that gain most, in the order of the network."""
    if graph.states:
        ctx.skipped(graph.name, "layers of networks with states are not chosen yet: name them")
        return []
    data = ctx.calibration()
    inputs = [array[: affordable(graph, min(samples, data.count))] for array in data.inputs]
    candidates = [members for members in activations(graph) if all(node.op.takes_int16 for node in around(graph, members))]
    wanted = evaluate(_unrounded(graph, [name for name in graph.values if name not in graph.constants]), inputs)

    def loss(changed: Graph) -> float:
        pairs = [(got.astype(np.float64), exact.astype(np.float64)) for got, exact in zip(evaluate(changed, inputs), wanted, strict=True)]
        return sum(float(np.square(got - exact).mean()) / max(float(exact.var()), 1e-30) for got, exact in pairs)

    before = loss(graph)
    gains = [before - loss(_unrounded(graph, members)) for members in candidates]
    best = [index for index in sorted(range(len(gains)), key=lambda index: -gains[index])[:count] if gains[index] > 0]
    names = {node.name for index in best for node in around(graph, candidates[index])}
    return [node for node in graph.nodes if node.name in names]


def _unrounded(graph: Graph, names: Sequence[str]) -> Graph:
    return rebuild(graph, values=[dataclasses.replace(graph.value(name), quant=None) for name in names])
