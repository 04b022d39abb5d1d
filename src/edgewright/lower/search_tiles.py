"""Which layers to compute strip by strip: the fewest extra multiply-accumulates for a RAM budget, and every trade that is worth making.

Between two places that a single value passes, RAM depends on what lies between alone; so dynamic programming over these places, with the
sets of Pareto-optimal (RAM, multiply-accumulates) so far, finds the best of all combinations of the tilings that are tried.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.ir.graph import Constant, Graph, Node, Value
from edgewright.ir.operator import Window
from edgewright.lower.allocate import saved_bytes
from edgewright.lower.memory import Buffer
from edgewright.lower.overlap import all_slides, reading_orders
from edgewright.lower.plan_memory import ALIGNMENT, align, lifetimes, share_buffers, with_slides
from edgewright.lower.scratch import scratch_bytes
from edgewright.lower.split_channels import Split, split_axes, split_region
from edgewright.lower.tile import tile_region
from edgewright.lower.tile_shape import Region, Tiling, cuts, tile_window, widths
from edgewright.targets.target import Target

BANDS = (1, 2, 3, 4, 6, 9, 12, 18)
PARTS = (2, 4, 8, 16, 32)
NOTHING = Constant(np.zeros(0, np.int8))
MOST_NODES = 30
"""Longer regions are not tried."""
NEAR_BUDGET = 1.5
MOST_CHANGES = 8
DEAREST_CHANGE = 1.15
MOST_MACS = 3.0
"""Nor what costs more than so many times the multiply-accumulates of the region."""


@dataclass(frozen=True)
class Choice:
    """A way to run a network: RAM by the plan's lower bound, multiply-accumulates, and the regions that are tiled."""

    ram_bytes: int
    macs: int
    tilings: tuple[Tiling | Split, ...] = ()


def tile_front(
    graph: Graph, target: Target, *, streamed: bool = False, most_bytes: int | None = None, frugal: bool = False
) -> list[Choice]:
    """The Pareto-optimal choices for ``graph`` (integer level, one sample) of at most ``most_bytes``, from most RAM to least.

    ``frugal``: with kernels that need no working memory, where there are such.
    Empty where no choice exists: with ``streamed``, where the first layers cannot be tiled.
    """
    places = cuts(graph)
    if len(graph.nodes) not in places:
        return []
    order = sorted(places)
    search = _Search(graph, target, streamed, frugal)
    if most_bytes is not None:
        search.peak = min(search.peak, most_bytes + 1)
    options: dict[tuple[int, int], list[Choice]] = {}
    for number, last in enumerate(order[1:]):
        for first in order[: number + 1]:
            adjacent = first == order[number]
            if adjacent or last - first <= MOST_NODES:
                options[first, last] = search.options(Region(first, last, places[first], places[last]), adjacent=adjacent)
    front = _best(order, options, None)
    if most_bytes is not None:
        front = [choice for choice in front if choice.ram_bytes <= NEAR_BUDGET * most_bytes]
    used = dict.fromkeys(tiling.region for choice in front for tiling in choice.tilings if isinstance(tiling, Tiling))
    for region in used:
        refined = [choice for pair in search.tilings(region) for choice in search.refined(pair[0])]
        options[region.first, region.last] = pareto([*options[region.first, region.last], *refined])
    return _best(order, options, most_bytes)


def _best(order: Sequence[int], options: Mapping[tuple[int, int], Sequence[Choice]], most_bytes: int | None) -> list[Choice]:
    """Pareto-optimal combinations of ``options`` ((first, last) place → choices) that lead from the first place to the last."""
    fronts: dict[int, list[Choice]] = {order[0]: [Choice(0, 0)]}
    for number, last in enumerate(order[1:], start=1):
        found = [
            _joined(before, option)
            for first in order[:number]
            for option in options.get((first, last), ())
            if most_bytes is None or option.ram_bytes <= most_bytes
            for before in fronts.get(first, ())
        ]
        fronts[last] = pareto(found)
    return fronts[order[-1]]


def _joined(first: Choice, second: Choice) -> Choice:
    return Choice(max(first.ram_bytes, second.ram_bytes), first.macs + second.macs, (*first.tilings, *second.tilings))


def pareto(choices: Sequence[Choice]) -> list[Choice]:
    """Those that no other beats in both figures, from most RAM to least; of equals that with the fewest loops."""
    kept: list[Choice] = []
    for choice in sorted(choices, key=lambda item: (item.ram_bytes, item.macs, len(item.tilings))):
        if not kept or choice.macs < kept[-1].macs:
            kept.append(choice)
    return kept[::-1]


class _Search:
    """The choices for regions of one graph."""

    def __init__(self, graph: Graph, target: Target, streamed: bool, frugal: bool) -> None:
        self.graph, self.target, self.streamed, self.frugal = graph, target, streamed, frugal
        self.macs = [node.op.macs(graph.ins(node), graph.outs(node)) for node in graph.nodes]
        self.windows = {first: _window_run(graph, first) for first in cuts(graph)}
        self.peak = self._peak(graph.nodes, {}, graph.inputs, graph.outputs)

    def options(self, region: Region, *, adjacent: bool) -> list[Choice]:
        """Ways to run ``region``: whole, where nothing can be cut within it, and tiled."""
        macs = sum(self.macs[region.first : region.last])
        found: list[Choice] = []
        outside = self.streamed and region.first == 0
        if adjacent and not outside:
            nodes = self.graph.nodes[region.first : region.last]
            found.append(Choice(self._peak(nodes, {}, (region.entry,), (region.exit,)), macs))
        if adjacent or len(found) == 0:
            found += self._split(region, macs) if not outside else []
        windows = self.windows[region.first]
        nodes = self.graph.nodes[region.first : region.last]
        ends = self.graph.value(region.exit).bytes + (0 if outside else self.graph.value(region.entry).bytes)
        if any(node.name not in windows for node in nodes) or ends >= self.peak or (len(nodes) == 1 and not outside):
            return found
        least, worse = -1, 0
        for pair in self.tilings(region):
            tried = [choice for tiling in pair if (choice := self._tiled(tiling, windows, outside)) is not None]
            if not tried or tried[0].macs > MOST_MACS * max(macs, 1):
                break
            found += tried
            ram = min(choice.ram_bytes for choice in tried)
            worse = worse + 1 if 0 <= least <= ram else 0
            least = ram if least < 0 else min(least, ram)
            if worse > 1:
                break
        return pareto(found)

    def _split(self, region: Region, macs: int) -> list[Choice]:
        """The region a few channels at a time."""
        axes = split_axes(self.graph, region)
        found = []
        for parts in PARTS if axes and len(axes) > 1 else ():
            if parts <= int(self.graph.value(region.exit).shape[-1] or 1):
                split = Split(region, parts)
                piece = split_region(self.graph, split, axes or {})
                if piece is not None:
                    values = {value.name: value for value in piece.values}
                    found.append(Choice(self._peak(piece.nodes, values, (region.entry,), (region.exit,), piece.constants), macs, (split,)))
        return found

    def tilings(self, region: Region) -> Iterator[tuple[Tiling, ...]]:
        """By bands, fewest first: narrower ones take less RAM, to a point, and ever more work."""
        width = widths(self.graph.value(region.exit))[1]
        inner = frozenset(node.outputs[0] for node in self.graph.nodes[region.first : region.last - 1])
        seen: set[int] = set()
        for bands in BANDS:
            band = -(-width // bands)
            if band in seen:
                continue
            seen.add(band)
            count = -(-width // band)
            yield Tiling(region, 1, count, inner, inner), Tiling(region, 1, count, inner)

    def refined(self, tiling: Tiling) -> list[Choice]:
        """``tiling`` with other values kept: step by step what saves most RAM for its work, the rows of a value computed again or its
        whole tile staying in place."""
        region = tiling.region
        windows, outside = self.windows[region.first], self.streamed and region.first == 0
        names = [node.outputs[0] for node in self.graph.nodes[region.first : region.last - 1]]
        now = dataclasses.replace(tiling, cached=frozenset(names), staying=frozenset())
        best = self._tiled(now, windows, outside)
        found: list[Choice] = []
        for _ in range(MOST_CHANGES):
            if best is None:
                break
            found.append(best)
            changes = [dataclasses.replace(now, staying=now.staying ^ {name}) for name in names if name in now.cached]
            changes += [dataclasses.replace(now, cached=now.cached - {name}, staying=now.staying - {name}) for name in names]
            tried = [choice for change in changes if (choice := self._tiled(change, windows, outside)) is not None]
            better = [choice for choice in tried if choice.ram_bytes < best.ram_bytes and choice.macs <= DEAREST_CHANGE * best.macs]
            macs, ram = best.macs, best.ram_bytes
            best = max(better, key=lambda item: (ram - item.ram_bytes) / (1 + 50 * (item.macs - macs) / max(macs, 1)), default=None)
            if best is not None and isinstance(best.tilings[0], Tiling):
                now = best.tilings[0]
        return found

    def _tiled(self, tiling: Tiling, windows: Mapping[str, Window], outside: bool) -> Choice | None:
        piece = tile_region(self.graph, tiling, windows, outside)
        if piece is None:
            return None
        values = {value.name: value for value in piece.values}
        macs = 0
        for node in piece.nodes:
            ins = [values.get(name) or self.graph.values[name] for name in node.inputs]
            outs = [values.get(name) or self.graph.values[name] for name in node.outputs]
            macs += node.op.macs(ins, outs) * piece.loop.runs(node.name)
        region = tiling.region
        ram = self._peak(piece.nodes, values, () if outside else (region.entry,), (region.exit,))
        return Choice(ram, macs, (tiling,))

    def _peak(self, nodes: Sequence[Node], values: Mapping[str, Value], inputs: Sequence[str], outputs: Sequence[str],
              fixed: Container[str] = ()) -> int:
        """The most bytes that live at once while ``nodes`` run."""
        names = {name for node in nodes for name in (*node.inputs, *node.outputs)} | {*inputs, *outputs}
        graph = dataclasses.replace(
            self.graph,
            nodes=tuple(nodes),
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            values={name: values.get(name) or self.graph.values[name] for name in names},
            constants={name: self.graph.constants.get(name, NOTHING) for name in names if name in self.graph.constants or name in fixed},
        )
        owner, spans = share_buffers(graph), lifetimes(graph)
        blocks: dict[str, tuple[int, int, int]] = {}
        for name, root in owner.items():
            size, (first, last) = graph.values[name].bytes, spans[name]
            held = blocks.get(root, (size, first, last))
            blocks[root] = max(size, held[0]), min(first, held[1]), max(last, held[2])
        live = [scratch_bytes(graph, node, self.target, frugal=self.frugal) for node in graph.nodes]
        buffers = [Buffer(name, align(size, ALIGNMENT), first, last) for name, (size, first, last) in blocks.items()]
        for buffer in buffers:
            for step in range(buffer.first, buffer.last + 1):
                live[step] += buffer.size_bytes
        orders = reading_orders(graph, self.target, {node.name for node in nodes} if self.frugal else ())
        slid = with_slides(graph, owner, buffers, all_slides(graph, orders, ALIGNMENT))
        for step, saved in saved_bytes(slid).items():
            live[step] -= saved
        return max(live, default=0)


def _window_run(graph: Graph, first: int) -> dict[str, Window]:
    """Windows of the nodes from ``first`` on, up to one that cannot be tiled."""
    found: dict[str, Window] = {}
    for node in graph.nodes[first : first + MOST_NODES]:
        window = tile_window(graph, node)
        if window is None:
            break
        found[node.name] = window
    return found
