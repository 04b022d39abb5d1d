"""Single weights set to zero for good: unstructured, or n of m neighbours."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.analysis.columns import as_matrices, columns
from edgewright.analysis.linear import FloatArray, Linear, linear
from edgewright.errors import RecipeError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Structure, Value
from edgewright.ops.evaluate import evaluate
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.side_by_side import affordable
from edgewright.passes.surgery.refit import refit

SCOPES = ("layer", "global")
IMPORTANCES = ("magnitude", "activation", "movement")
LEAST_ROW = 16
"""Layers with fewer weights for an output (depthwise ones, mostly) keep them all: there is little to win and much to lose."""
MOST_SAMPLES = 1024
"""Samples that activations are measured on, and layers refitted to."""
Mask = NDArray[np.bool_]


@graph_pass(level="float", exact=False)
def prune_weights(
    graph: Graph,
    ctx: Context,
    *,
    sparsity: float = 0.5,
    pattern: str = "",
    scope: str = "layer",
    importance: str = "magnitude",
    refit_layers: bool = False,
) -> Graph:
    """Set the weights that matter least to zero, and keep them there: masks go with the constants through all that follows.

    ``sparsity``: the share that is zero afterwards. Rising steps with fine_tune between them are a gradual schedule (Zhu & Gupta
    2017, arXiv:1710.01878). ``pattern``: "2:4" leaves two of each four neighbours along the input axis, whatever ``sparsity`` is.
    ``scope``: the same share of every layer, or of all layers together by layer-adaptive magnitude (LAMP, arXiv:2010.07611).
    ``importance``: magnitude, or activation: magnitude times the norm of what the weight is multiplied with, output by output (Wanda,
    arXiv:2306.11695; with data), or movement: how far training took the weight away from zero since the network came (``ctx.teacher``),
    for after fine_tune. ``refit_layers``: the weights that stay take over, by least squares on the calibration data.
    """
    share = _kept(pattern)
    if not 0 <= sparsity < 1 or scope not in SCOPES or importance not in IMPORTANCES:
        message = f"prune_weights: sparsity {sparsity}, scope {scope!r}, importance {importance!r}"
        raise RecipeError(message, hint=f"a sparsity from 0 to below 1, a scope of {', '.join(SCOPES)}, one of {', '.join(IMPORTANCES)}")
    layers = dict(_prunable(graph, ctx))
    scores = _scores(graph, layers, importance, ctx)
    if share is not None:
        masks = {name: kept for name, score in scores.items() if (kept := _pattern(score, share, name, ctx)) is not None}
    elif scope == "global":
        masks = _globally(scores, sparsity)
    else:
        masks = {name: _best(score, round((1 - sparsity) * score.size), importance == "activation") for name, score in scores.items()}
    constants = {name: new for name, mask in masks.items() if (new := _masked(graph.constants[name], mask, share)) is not None}
    if not constants:
        ctx.skipped(graph.name, "no weight is left to prune")
        return graph
    after = rebuild(graph, constants=constants)
    for name, constant in constants.items():
        zeros = constant.array.size - int(np.count_nonzero(constant.array))
        ctx.did(layers[name].node.name, f"{zeros:,} of {constant.array.size:,} weights are zero ({pattern or importance})")
    if not refit_layers:
        return after
    if graph.states:
        ctx.skipped(graph.name, "networks with states are not refitted: calibration samples do not follow each other in time")
        return after
    data = ctx.calibration()
    count = affordable(graph, min(MOST_SAMPLES, data.count))
    after, mended = refit(graph, after, [array[:count] for array in data.inputs], {})
    for layer in mended:
        ctx.did(layer.name, f"refitted: {layer.before:.1%} of the output's variance was wrong, {layer.after:.1%} is")
    return after


def _kept(pattern: str) -> tuple[int, int] | None:
    """"n:m" as (n, m); None for no pattern."""
    if not pattern:
        return None
    first, _, second = pattern.partition(":")
    if not (first.isdigit() and second.isdigit() and 0 < int(first) < int(second) <= 64):
        raise RecipeError(f"{pattern!r} is no pattern of weights", hint='n of m neighbours stay: "2:4"')
    return int(first), int(second)


def _prunable(graph: Graph, ctx: Context) -> Iterator[tuple[str, Linear]]:
    """Weight → the first layer that has it."""
    seen: set[str] = set()
    for node in graph.nodes:
        part = linear(graph, node)
        if part is None or part.weight in seen:
            continue
        seen.add(part.weight)
        array, structure = graph.array(part.weight), graph.constants[part.weight].structure
        if array.size < LEAST_ROW or array[0].size < LEAST_ROW:
            ctx.skipped(node.name, f"{array[:1].size} weights for an output are too few to prune")
        elif structure is not None and structure.codebook is not None and np.all(structure.codebook != 0):
            ctx.skipped(node.name, "its codebook has no zero: prune before clustering")
        else:
            yield part.weight, part


def _scores(graph: Graph, layers: dict[str, Linear], importance: str, ctx: Context) -> dict[str, FloatArray]:
    """By weight: how much each number matters, below zero for what is pruned already."""
    norms = _norms(graph, layers, ctx) if importance == "activation" and layers else {}
    scores = {}
    for name, part in layers.items():
        score: FloatArray = np.abs(graph.array(name).astype(np.float64))
        if importance == "activation":
            if part.node.name not in norms:
                ctx.skipped(part.node.name, f"{part.node.op.kind} is not a product over a window: its weights count by magnitude")
            else:
                norm = norms[part.node.name]
                matrices = as_matrices(torch.from_numpy(score), int(graph.value(part.data).shape[-1] or 1)) * norm[:, None, :]
                score = matrices.reshape(score.shape).numpy()
        elif importance == "movement":
            score = _movement(graph, part, ctx)
        structure = graph.constants[name].structure
        if structure is not None and structure.mask is not None:
            score = np.where(structure.mask, score, -1.0)
        scores[name] = score
    return scores


def _movement(graph: Graph, part: Linear, ctx: Context) -> FloatArray:
    """How far each weight moved away from zero, at least 0; its magnitude where that is not known.

    Movement pruning (Sanh et al. 2020, arXiv:2005.07683) sums up -rate * gradient * weight over the steps of training; under plain gradient
    descent that is the sum of weight * change, and for small steps (new^2 - old^2) / 2.
    """
    if ctx.teacher is None:
        raise RecipeError("movement needs the network before training", hint="give Context(teacher=graph); optimize takes it as it came")
    now: FloatArray = graph.array(part.weight).astype(np.float64)
    before = ctx.teacher.constants.get(part.weight)
    if before is None or before.array.shape != now.shape:
        ctx.skipped(part.node.name, "the network as it came has no weight of that name and shape: its weights count by magnitude")
        return np.abs(now)
    moved: FloatArray = np.square(now) - np.square(before.array.astype(np.float64))
    if not moved.any():
        ctx.skipped(part.node.name, "its weights are where they were, no training moved them: they count by magnitude")
        return np.abs(now)
    least = float(moved.min())
    return moved - least


def _norms(graph: Graph, layers: dict[str, Linear], ctx: Context) -> dict[str, Tensor]:
    """By layer: the root mean square of what each column of its weight meets, (groups, K)."""
    data = ctx.calibration()
    count = affordable(graph, min(MOST_SAMPLES, data.count))
    readers: dict[str, list[Linear]] = {}
    for part in layers.values():
        readers.setdefault(part.data, []).append(part)
    sums: dict[str, Tensor] = {}

    def look(value: Value, x: Tensor) -> None:
        for part in readers.get(value.name, ()):
            met = columns(graph, part, x)
            if met is not None:
                found = met.square().sum(0, dtype=torch.float64)
                sums[part.node.name] = sums[part.node.name] + found if part.node.name in sums else found

    evaluate(graph, [array[:count] for array in data.inputs], observe=look)
    return {name: total.sqrt() for name, total in sums.items()}


def _best(score: FloatArray, count: int, by_row: bool) -> Mask:
    """The ``count`` greatest of ``score``, of the whole or as many of each row."""
    rows = score.reshape(len(score) if by_row else 1, -1)
    many = round(count / len(rows))
    order = np.argsort(-rows, axis=1, kind="stable")
    mask = np.zeros(rows.shape, bool)
    np.put_along_axis(mask, order[:, :many], True, axis=1)
    return mask.reshape(score.shape) & (score >= 0)


def _pattern(score: FloatArray, share: tuple[int, int], name: str, ctx: Context) -> Mask | None:
    """The n greatest of each m neighbours along the last axis; None where m does not divide it."""
    most, of = share
    if score.shape[-1] % of:
        ctx.skipped(name, f"{score.shape[-1]} input channels are no multiple of {of}")
        return None
    groups = score.reshape(-1, of)
    order = np.argsort(-groups, axis=1, kind="stable")
    mask = np.zeros(groups.shape, bool)
    np.put_along_axis(mask, order[:, :most], True, axis=1)
    return mask.reshape(score.shape) & (score >= 0)


def _globally(scores: dict[str, FloatArray], sparsity: float) -> dict[str, Mask]:
    """The weights of greatest square against the sum of squares of all that are no smaller in their layer; each layer keeps one."""
    relative = {}
    for name, score in scores.items():
        order = np.argsort(score.reshape(-1), kind="stable")
        squares = np.square(np.maximum(score.reshape(-1)[order], 0.0))
        above = np.cumsum(squares[::-1])[::-1]
        found = np.empty(score.size)
        found[order] = squares / np.maximum(above, np.finfo(np.float64).tiny)
        relative[name] = np.where(score < 0, -1.0, found.reshape(score.shape))
    flat = np.concatenate([score.reshape(-1) for score in relative.values()] or [np.zeros(0)])
    chosen = _best(flat, round((1 - sparsity) * flat.size), by_row=False)
    ends = np.cumsum([score.size for score in relative.values()])
    parts = np.split(chosen, ends[:-1]) if relative else []
    return {name: part.reshape(scores[name].shape) for name, part in zip(relative, parts, strict=True)}


def _masked(constant: Constant, mask: Mask, share: tuple[int, int] | None) -> Constant | None:
    """``constant`` with ``mask``; None where that changes nothing."""
    old = constant.structure or Structure()
    pattern = share or old.pattern
    if old.mask is not None and np.array_equal(old.mask, mask) and old.pattern == pattern:
        return None
    if share is None and mask.all():
        return None
    structure = dataclasses.replace(old, mask=mask, pattern=pattern)
    return Constant(np.where(mask, constant.array, 0).astype(constant.array.dtype), structure)
