"""Channels removed for good, from every layer that they run through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edgewright.analysis.channels import ChannelGroups, Indices, channel_groups, contractions, keep_one, operand, remove_channels, to_fill
from edgewright.analysis.linear import FloatArray, linear
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.side_by_side import affordable
from edgewright.passes.surgery.importance import importance as measured
from edgewright.passes.surgery.prices import Price, budgeted
from edgewright.passes.surgery.refit import Refitted, refit

SCOPES = ("local", "global")
LEAST_KEPT = 0.1
"""Share of a family's channels that stays, whatever their importance: nothing is cut off."""
MOST_SAMPLES = 1024
"""Samples that layers are refitted to."""
STEPS = 24
"""Halvings of the interval in which the share to be removed lies."""


@graph_pass(level="float", exact=False, needs_data=True)
def prune_channels(
    graph: Graph,
    ctx: Context,
    *,
    budget: float = 0.5,
    cost: str = "macs",
    importance: str = "taylor",
    scope: str = "global",
    refit_layers: bool = True,
    multiple: int = 0,
) -> Graph:
    """Remove the channels that matter least until the network costs no more than ``budget``, and refit the layers that read them.

    Channels leave with all their partners: through residual additions, depthwise and grouped convolutions, concatenations, slices,
    flattened axes and states, as the operators themselves say. Before refitting, what remains computes what the network with those
    channels masked would.

    ``budget``: below 1, the share of the present cost that may remain; from 1 on, the cost itself. ``cost``: macs, parameters, or what is
    known of the target: arena_bytes, flash_bytes, instructions, cycles. ``importance``: l1, l2 (weights), batchnorm (scales), variance,
    apoz, reconstruction (activations), taylor (gradients; labels are used where the data have them). ``scope``: "local" takes the same
    share of every layer's channels, "global" those of least importance for what they cost. ``refit_layers``: weights and biases that give
    the old outputs back as well as they can, by least squares on the calibration data. ``multiple``: counts of channels are multiples of
    this; 0: of what the target's kernels are quick with. Sources: DepGraph (arXiv:2301.12900), Group Fisher pruning (arXiv:2108.00708),
    channel pruning by reconstruction (arXiv:1707.06168).
    """
    if scope not in SCOPES or multiple < 0:
        message = f"prune_channels: scope {scope!r}, multiple {multiple}"
        raise RecipeError(message, hint=f"a scope of {' or '.join(SCOPES)}, a multiple of at least 0")
    price, present, most = budgeted("prune_channels", graph, ctx, budget, cost)
    if present <= most:
        ctx.skipped(graph.name, f"{cost} are {present:,.0f} already, {most:,.0f} may remain")
        return graph
    groups = channel_groups(graph)
    families = _families(graph, groups, ctx)
    unit = multiple or (ctx.target.channel_multiple if ctx.target is not None else 1)
    scores = measured(importance, graph, groups, families, ctx)
    choice = _Choice(graph, groups, scores, _rest(families, scores), unit, price)
    removed = choice.within(most, scope)
    if not removed:
        ctx.skipped(graph.name, "no channel can leave: each reaches an input, an output, or an operator that needs it")
        return graph
    members = groups.members(removed)
    after = remove_channels(graph, members)
    left = price(after)
    mended: list[Refitted] = []
    if refit_layers and graph.states:
        ctx.skipped(graph.name, "networks with states are not refitted: calibration samples do not follow each other in time")
    elif refit_layers:
        data = ctx.calibration()
        count = affordable(graph, min(MOST_SAMPLES, data.count))
        after, mended = refit(graph, after, [array[:count] for array in data.inputs], members)
    _report(graph, after, mended, ctx)
    ctx.did(graph.name, f"{cost}: {present:,.0f} to {left:,.0f}")
    if left > most:
        ctx.skipped(graph.name, f"{cost} do not fall to {most:,.0f}: {LEAST_KEPT:.0%} of each layer's channels, rounded to {unit}, stay")
    return after


def _families(graph: Graph, groups: ChannelGroups, ctx: Context) -> list[Indices]:
    """The groups that may leave, put together where they are filters of one weight."""
    held = groups.pinned.copy()
    filters = []
    for node in graph.nodes:
        part = linear(graph, node)
        for end, mask in contractions(graph, node).items():
            structure = graph.constants[node.inputs[end.index]].structure if graph.is_constant(node.inputs[end.index]) else None
            if structure is not None and structure.pattern is not None and mask.any():
                held[groups.labels[operand(node, end)][mask]] = True
                ctx.skipped(node.name, f"its inputs stay: {structure.pattern[0]} of {structure.pattern[1]} weights are kept")
        if part is not None:
            filters.append(np.unique(groups.labels[part.weight, 0]))
    found: list[Indices] = []
    for own in filters:
        own = own[~held[own]]
        apart = [family for family in found if not np.isin(family, own).any()]
        joined = [family for family in found if np.isin(family, own).any()]
        found = [*apart, np.unique(np.concatenate([own, *joined]))] if len(own) else found
    return found


def _rest(families: Sequence[Indices], scores: FloatArray) -> list[Indices]:
    """``families`` without the groups whose importance is not known."""
    known = [family[np.isfinite(scores[family])] for family in families]
    return [family for family in known if len(family)]


@dataclass
class _Choice:
    """The search for the groups that leave. Every set that it tries is one that can leave, and leaves counts that ``unit`` divides."""

    graph: Graph
    groups: ChannelGroups
    scores: FloatArray
    families: list[Indices]
    unit: int
    price: Price
    prices: dict[frozenset[int], float] = field(default_factory=dict)

    def within(self, most: float, scope: str) -> set[int]:
        """The groups that leave so that the cost is at most ``most``, or as many as can."""
        ranked = self._ranked(scope)
        low, high = 0.0, 1.0
        chosen = self._cut(ranked, high)
        if self._cost(chosen) > most:
            return chosen
        for _ in range(STEPS):
            middle = (low + high) / 2
            tried = self._cut(ranked, middle)
            if self._cost(tried) <= most:
                high, chosen = middle, tried
            else:
                low = middle
        return self._given_back(chosen, most)

    def _ranked(self, scope: str) -> list[tuple[float, int]]:
        """(when it leaves, group): by its place in its family, or by its importance for what it costs among all."""
        found = []
        for family in self.families:
            order = family[np.argsort(self.scores[family], kind="stable")][: int(len(family) * (1 - LEAST_KEPT))]
            if scope == "local":
                found += [((place + 1) / len(family), int(group)) for place, group in enumerate(order)]
            else:
                saved = self._saved(family)
                found += [(float(self.scores[group]) / saved if saved > 0 else np.inf, int(group)) for group in order]
        return sorted(found)

    def _saved(self, family: Indices) -> float:
        """The cost of one group of ``family``, told from removing ``unit`` of them."""
        some = keep_one(self.groups, family[: self.unit].tolist())
        return (self._cost(set()) - self._cost(some)) / len(some) if some else 0.0

    def _cut(self, ranked: list[tuple[float, int]], share: float) -> set[int]:
        """The first of ``ranked``: those that leave up to ``share`` (local), or a share of all (global), without what has to stay."""
        count = int(round(share * len(ranked)))
        chosen = keep_one(self.groups, [group for _, group in ranked[:count]], self.scores)
        while kept := to_fill(self.groups, chosen, self.unit, self.scores):
            chosen -= kept
        return chosen

    def _cost(self, chosen: set[int]) -> float:
        key = frozenset(chosen)
        if key not in self.prices:
            self.prices[key] = self.price(remove_channels(self.graph, self.groups.members(chosen)))
        return self.prices[key]

    def _given_back(self, chosen: set[int], most: float) -> set[int]:
        """``chosen`` without what may stay after all: the best of each family, as long as the cost remains within ``most``."""
        best = sorted(self.families, key=lambda family: -max((self.scores[group] for group in family if group in chosen), default=-np.inf))
        for family in best:
            gone = [int(group) for group in family[np.argsort(-self.scores[family], kind="stable")] if group in chosen]
            less = chosen - set(gone[: self.unit])
            if gone and not to_fill(self.groups, less, self.unit) and self._cost(less) <= most:
                chosen = less
        return chosen


def _report(graph: Graph, after: Graph, mended: list[Refitted], ctx: Context) -> None:
    fitted = {line.name: f"; error of its outputs {line.before:.1%}, refitted {line.after:.1%}" for line in mended}
    for node in graph.nodes:
        part = linear(graph, node)
        if part is None:
            continue
        counts = [network.value(node.outputs[0]).shape[-1] or 0 for network in (graph, after)]
        if counts[0] != counts[1]:
            ctx.did(node.name, f"{counts[0] - counts[1]} of {counts[0]} channels removed{fitted.get(node.name, '')}")
        elif node.name in fitted:
            ctx.did(node.name, f"refitted{fitted[node.name]}")
