"""A dense layer over all places of a feature map becomes global average pooling and a dense layer over the channels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from edgewright.analysis.linear import Edits, FloatArray, Linear, bias_array, linear
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph, Node, Value
from edgewright.ops.dense import Dense
from edgewright.ops.evaluate import evaluate
from edgewright.ops.mean import Mean
from edgewright.ops.reshape import Reshape
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.side_by_side import affordable


@graph_pass(level="float", exact=False)
def pool_dense_head(graph: Graph, ctx: Context, *, worst: float = 0.9, ridge: float = 0.01, samples: int = 1024) -> Graph:
    """Replace flatten and dense by the mean over height and width and a dense layer (Network in Network, arXiv:1312.4400).

    The new weights are those that give the old layer's outputs best on calibration data, pulled by ``ridge`` to the sums of the old ones
    over all places, which is what they are without data. A layer whose output would lose more than the share ``worst`` of its power
    stays. Repair with distill or fine_tune.
    """
    if worst <= 0 or ridge <= 0 or samples < 0:
        raise RecipeError(f"pool_dense_head: worst {worst}, ridge {ridge}, samples {samples}", hint="shares above 0, samples from 0")
    heads = {part.data: (part, before) for node in graph.nodes if (part := linear(graph, node)) and (before := _flattened(graph, part))}
    heads = {name: pair for name, pair in heads.items() if _is_free(graph, ctx, pair[0])}
    seen = _seen(graph, ctx, {before for _, before in heads.values()}, samples)
    edits = Edits(graph)
    for part, before in heads.values():
        error, weight, bias = _fitted(graph, part, before, seen.get(before), ridge)
        if error is not None and error > worst:
            ctx.skipped(part.node.name, f"{error:.1%} of the output's power would be lost, more than {worst:.1%}")
            continue
        _put(edits, part, before, weight, bias)
        lost = "" if error is None else f", {error:.1%} of the output's power lost"
        ctx.did(part.node.name, f"{graph.value(part.weight).elements:,} → {weight.size:,} weights behind global average pooling{lost}")
    return edits.apply() if edits.nodes else graph


def _flattened(graph: Graph, part: Linear) -> str | None:
    """The feature map (N, H, W, C) of more than one place that dense ``part`` reads flat."""
    maker = graph.producers.get(part.data)
    if not isinstance(part.node.op, Dense) or maker is None or not isinstance(maker.op, Reshape) or graph.value(part.data).rank != 2:
        return None
    value = graph.value(maker.inputs[0])
    return value.name if value.rank == 4 and math.prod(value.sample_shape[1:3]) > 1 else None


def _is_free(graph: Graph, ctx: Context, part: Linear) -> bool:
    if graph.constants[part.weight].structure is not None:
        ctx.skipped(part.node.name, "its weights have a structure, which pooling would not keep")
        return False
    return True


def _seen(graph: Graph, ctx: Context, wanted: set[str], samples: int) -> dict[str, Tensor]:
    """The feature maps for calibration data, where there are any."""
    if ctx.data is None or not samples or graph.states or not wanted:
        return {}
    fixed = max((graph.value(name).shape[0] or 1 for name in graph.inputs), default=1)
    count = max(fixed, affordable(graph, min(samples, ctx.data.count)) // fixed * fixed)
    found: dict[str, list[Tensor]] = {}

    def look(value: Value, x: Tensor) -> None:
        if value.name in wanted:
            found.setdefault(value.name, []).append(x.double())

    evaluate(graph, [array[:count] for array in ctx.data.inputs], observe=look)
    return {name: torch.cat(parts) for name, parts in found.items()}


def _fitted(graph: Graph, part: Linear, before: str, seen: Tensor | None, ridge: float) -> tuple[float | None, FloatArray, FloatArray]:
    """(share of the output's variance that is lost, None where nobody knows; weight (O, C); bias)."""
    old = graph.array(part.weight).astype(np.float64)
    channels = graph.value(before).sample_shape[-1]
    prior, bias = old.reshape(len(old), -1, channels).sum(1), bias_array(graph, part)
    if seen is None or len(seen) < 2:
        return None, prior, bias
    rows, pooled = seen.reshape(len(seen), -1).numpy() @ old.T, seen.mean((1, 2)).numpy()
    means = rows.mean(0), pooled.mean(0)
    wanted, given = rows - means[0], pooled - means[1]
    gram = given.T @ given
    pull = ridge * max(float(np.trace(gram)) / channels, 1e-30)
    weight = np.linalg.solve(gram + pull * np.eye(channels), given.T @ wanted + pull * prior.T).T
    error = float(np.square(wanted - given @ weight.T).sum() / max(np.square(wanted).sum(), 1e-30))
    return error, weight, bias + means[0] - weight @ means[1]


def _put(edits: Edits, part: Linear, before: str, weight: FloatArray, bias: FloatArray) -> None:
    node, source = part.node, edits.graph.value(before)
    op = Mean((1, 2))
    pooled = edits.fresh(f"{node.name}_pooled")
    edits.values[pooled] = replace(source, name=pooled, shape=op.infer([source])[0])
    numbers = edits.constant(edits.fresh(f"{part.weight}_pooled"), weight.astype(np.float32))
    sums = edits.constant(edits.fresh(f"{node.name}_bias"), bias.astype(np.float32))
    mean = Node(edits.fresh_node(f"{node.name}_pool"), op, (before,), (pooled,))
    edits.nodes[node.name] = [mean, Node(node.name, node.op, (pooled, numbers, sums), node.outputs)]
