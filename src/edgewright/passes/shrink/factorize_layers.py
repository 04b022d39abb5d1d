"""Layers with large weights become chains of smaller ones: what their weights are made of, less the parts that matter least."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgewright.analysis.linear import Edits, FloatArray, Linear, linear
from edgewright.errors import RecipeError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.evaluate import evaluate
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.surgery.chains import chain_cycles, chain_macs, corrected_bias, layer_moments, put_chain, slower
from edgewright.passes.surgery.low_rank import Factors, spatial, svd, tucker

SHARES = tuple(index / 16 for index in range(1, 15))
"""Ranks that are tried, as shares of the greatest."""
PROBES = 64
"""Samples that tell how much each layer's error matters at the outputs."""
MEASURES, METHODS = ("macs", "parameters", "cycles"), ("auto", "svd", "spatial", "tucker")


@dataclasses.dataclass(frozen=True)
class _Layer:
    """A layer that could be factorized: its weight, the moments of what it is fed with, and what it costs as it is."""

    part: Linear
    weight: FloatArray
    second: FloatArray | None
    mean: FloatArray | None
    cost: float


@dataclasses.dataclass(frozen=True)
class _Choice:
    factors: Factors
    cost: float
    harm: float


@graph_pass(level="float", exact=False)
def factorize_layers(
    graph: Graph,
    ctx: Context,
    *,
    keep: float = 0.6,
    measure: str = "macs",
    energy: float = 0.0,
    method: str = "auto",
    samples: int = 256,
) -> Graph:
    """Replace dense layers and convolutions by chains of lower rank until ``keep`` of the network's cost is left.

    ``measure`` of cost: macs, parameters, or cycles of the target's kernels. ``method``: svd (outputs of fewer), spatial (column and row),
    tucker (fewer channels in and out), auto: the best of them for each layer. Ranks are chosen over all layers together, least harm for
    the cost saved first; ``energy`` above 0 takes instead for each layer the cheapest chain that keeps this share. With calibration data
    errors are those of the layers' outputs, weighed by what they do to the network's, and biases take over the mean error; else those of
    the weights. A chain that would take longer on the target than its layer is not taken. Repair with distill or fine_tune.
    Sources: arXiv:1505.06798, arXiv:1405.3866, arXiv:1511.06530.
    """
    if not 0 < keep <= 1 or not 0 <= energy < 1 or samples < 0:
        raise RecipeError(f"factorize_layers: keep {keep}, energy {energy}, samples {samples}", hint="shares of 1, samples from 0")
    if measure not in MEASURES or method not in METHODS:
        raise RecipeError(f"factorize_layers has no measure {measure!r} or no method {method!r}", hint=f"{MEASURES}, {METHODS}")
    price = _price(graph, ctx, measure)
    layers = _layers(graph, ctx, samples, price)
    if not layers:
        return graph
    weights = _importance(graph, ctx, layers)
    choices = {layer.part.node.name: _choices(graph, ctx, layer, method, price, weights[layer.part.node.name]) for layer in layers}
    whole = _whole(graph, layers, measure)
    while True:
        taken = _by_energy(choices, energy) if energy else _by_budget(layers, choices, whole * (1 - keep))
        slow = _slow(graph, ctx, layers, taken)
        for name in slow:
            choices[name].remove(taken[name])
        if not slow:
            break
    edits = Edits(graph)
    for layer in layers:
        if layer.part.node.name in taken:
            _put(edits, ctx, layer, taken[layer.part.node.name], measure)
    if not edits.nodes:
        return graph
    saved = sum(layer.cost - taken[layer.part.node.name].cost for layer in layers if layer.part.node.name in edits.nodes)
    if not energy and saved < whole * (1 - keep) * 0.999:
        ctx.skipped(graph.name, f"{1 - saved / whole:.0%} of the {measure} are left, {keep:.0%} were asked for: no more chains save any")
    return edits.apply()


def _price(graph: Graph, ctx: Context, measure: str) -> Callable[[Linear, Factors | None], float]:
    """What a layer costs, or the chain in its place."""
    if measure == "cycles" and ("cycles" not in ctx.costs or not math.isfinite(ctx.costs["cycles"](graph))):
        raise RecipeError("factorize_layers by cycles needs a target whose cycles are known", hint="give --target, for example cortex-m4")

    def price(part: Linear, factors: Factors | None) -> float:
        if measure == "cycles":
            return chain_cycles(graph, ctx, part, None if factors is None else factors.layers)
        if measure == "parameters":
            return graph.value(part.weight).elements if factors is None else factors.parameters
        if factors is not None:
            return chain_macs(graph, part, factors.layers)
        return part.node.op.macs(graph.ins(part.node), graph.outs(part.node))

    return price


def _whole(graph: Graph, layers: list[_Layer], measure: str) -> float:
    """The cost of all layers with weights, those that cannot be factorized included."""
    if measure == "cycles":
        return sum(layer.cost for layer in layers)
    parts = [part for node in graph.nodes if (part := linear(graph, node)) is not None]
    if measure == "parameters":
        return sum(graph.value(name).elements for name in {part.weight for part in parts})
    return sum(part.node.op.macs(graph.ins(part.node), graph.outs(part.node)) for part in parts)


def _layers(graph: Graph, ctx: Context, samples: int, price: Callable[[Linear, Factors | None], float]) -> list[_Layer]:
    parts = {}
    for node in graph.nodes:
        part = linear(graph, node)
        if part is None or not isinstance(node.op, (Conv2D, Dense)):
            continue
        constant = graph.constants[part.weight]
        if isinstance(node.op, Conv2D) and node.op.groups > 1:
            ctx.skipped(node.name, "it has groups")
        elif constant.structure is not None:
            ctx.skipped(node.name, "its weights have a structure, which factors would not keep")
        elif min(constant.array.shape[0], constant.array[0].size) > 1:
            parts[node.name] = part
    seen = layer_moments(graph, ctx, parts, samples)
    found = []
    for name, part in parts.items():
        second, mean = seen.get(name, (None, None))
        found.append(_Layer(part, graph.array(part.weight).astype(np.float64), second, mean, price(part, None)))
    return found


def _candidates(layer: _Layer, method: str, unit: int) -> list[Factors]:
    op, weight = layer.part.node.op, layer.weight
    inputs = weight[0].size
    found: list[Factors] = []
    if method in ("auto", "svd"):
        found += svd(op, weight, layer.second, _ranks(min(len(weight), inputs), unit))
    if isinstance(op, Conv2D) and method in ("auto", "spatial") and min(weight.shape[1:3]) > 1:
        outputs, rows, columns, channels = weight.shape
        found += spatial(op, weight, layer.second, _ranks(min(columns * outputs, rows * channels), unit))
    if isinstance(op, Conv2D) and method in ("auto", "tucker") and max(weight.shape[1:3]) > 1:
        sizes = [_rounded(share * weight.shape[axis], unit, weight.shape[axis]) for share in SHARES for axis in (3, 0)]
        found += tucker(op, weight, layer.second, sorted(set(zip(sizes[::2], sizes[1::2]))))
    return found


def _ranks(greatest: int, unit: int) -> list[int]:
    return sorted({_rounded(share * greatest, unit, greatest) for share in SHARES})


def _rounded(rank: float, unit: int, greatest: int) -> int:
    """A number of channels that the target's kernels are quick with, where there are many."""
    step = unit if greatest >= 4 * unit else 1
    return min(greatest, max(1, round(rank / step) * step))


def _choices(graph: Graph, ctx: Context, layer: _Layer, method: str, price: Callable[[Linear, Factors | None], float], weight: float
             ) -> list[_Choice]:
    """Chains that cost less than the layer, of each cost the best, from the dearest to the cheapest."""
    unit = 1 if ctx.target is None else ctx.target.channel_multiple
    priced = [_Choice(factors, price(layer.part, factors), weight * factors.error) for factors in _candidates(layer, method, unit)]
    best: list[_Choice] = []
    for choice in sorted((choice for choice in priced if choice.cost < layer.cost), key=lambda choice: (choice.harm, choice.cost)):
        if not best or choice.cost < best[-1].cost:
            best.append(choice)
    return best


def _importance(graph: Graph, ctx: Context, layers: list[_Layer]) -> dict[str, float]:
    """How much of a layer's relative error arrives at the outputs, measured with its weights a little off; 1 without data."""
    names = [layer.part.node.name for layer in layers]
    if any(layer.second is None for layer in layers) or ctx.data is None:
        return dict.fromkeys(names, 1.0)
    fixed = max((graph.value(name).shape[0] or 1 for name in graph.inputs), default=1)
    count = max(fixed, min(PROBES, ctx.data.count) // fixed * fixed)
    inputs = [array[:count] for array in ctx.data.inputs]
    before = evaluate(graph, inputs)
    found = {}
    for layer in layers:
        rank = max(1, min(len(layer.weight), layer.weight[0].size) // 2)
        (probe,) = svd(layer.part.node.op, layer.weight, layer.second, [rank])
        changed = rebuild(graph, constants={layer.part.weight: Constant(probe.weight.astype(np.float32))})
        after = evaluate(changed, inputs)
        found[layer.part.node.name] = _distance(before, after) / probe.error if probe.error > 1e-9 else 1.0
    return found


def _distance(before: list[NDArray[np.generic]], after: list[NDArray[np.generic]]) -> float:
    pairs = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(before, after, strict=True)]
    return sum(float(np.square(a - b).sum() / max(np.square(a - a.mean(0)).sum(), 1e-12)) for a, b in pairs)


def _by_energy(choices: dict[str, list[_Choice]], energy: float) -> dict[str, _Choice]:
    kept = {name: [choice for choice in found if choice.factors.error <= 1 - energy] for name, found in choices.items()}
    return {name: found[-1] for name, found in kept.items() if found}


def _by_budget(layers: list[_Layer], choices: dict[str, list[_Choice]], goal: float) -> dict[str, _Choice]:
    """Step by step, the move with the least harm for the cost that it saves, until ``goal`` is saved."""
    taken: dict[str, _Choice] = {}
    costs = {layer.part.node.name: layer.cost for layer in layers}
    saved = 0.0
    while saved < goal:
        moves = []
        for name, found in choices.items():
            now = taken.get(name)
            cost, harm = (costs[name], 0.0) if now is None else (now.cost, now.harm)
            moves += [((choice.harm - harm) / (cost - choice.cost), name, choice) for choice in found if choice.cost < cost]
        if not moves:
            break
        _, name, choice = min(moves, key=lambda move: (move[0], move[1], move[2].cost))
        saved += (taken[name].cost if name in taken else costs[name]) - choice.cost
        taken[name] = choice
    return _relaxed(taken, choices, saved - goal)


def _relaxed(taken: dict[str, _Choice], choices: dict[str, list[_Choice]], left: float) -> dict[str, _Choice]:
    """``taken`` with dearer choices where ``left`` still pays for them: the last move saves more than was asked."""
    while left > 0:
        moves = [
            (now.harm - choice.harm, name, choice)
            for name, now in taken.items()
            for choice in choices[name]
            if choice.harm < now.harm and 0 < choice.cost - now.cost <= left
        ]
        if not moves:
            break
        _, name, choice = max(moves, key=lambda move: (move[0], move[1]))
        left -= choice.cost - taken[name].cost
        taken[name] = choice
    return taken


def _slow(graph: Graph, ctx: Context, layers: list[_Layer], taken: dict[str, _Choice]) -> list[str]:
    """Layers whose chain takes longer on the target than they do."""
    found = []
    for layer in layers:
        name = layer.part.node.name
        if name in taken and (why := slower(graph, ctx, layer.part, taken[name].factors.layers)) is not None:
            ctx.skipped(name, f"{taken[name].factors.method} of rank {_ranks_of(taken[name].factors)}: {why}")
            found.append(name)
    return found


def _ranks_of(factors: Factors) -> str:
    return " and ".join(map(str, factors.ranks))


def _put(edits: Edits, ctx: Context, layer: _Layer, choice: _Choice, measure: str) -> None:
    part, factors = layer.part, choice.factors
    put_chain(edits, part, factors.layers, corrected_bias(edits.graph, part, factors.weight, layer.mean))
    cost = f"{layer.cost:,.0f} → {choice.cost:,.0f} {measure}"
    ctx.did(part.node.name, f"{factors.method} of rank {_ranks_of(factors)}: {cost}, {factors.error:.1%} of the output's power lost")
