"""Widths of weights and activations together, layer by layer: what may be chosen, what it costs on the target, and the best choice."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.data import Data
from edgewright.errors import BudgetError, RecipeError
from edgewright.ir.dtype import DType
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level, Node
from edgewright.numerics.width_program import Activation, Bridge, Choice, WidthProgram, Widths, best_widths
from edgewright.ops.requant import affine_quant
from edgewright.ops.requantize import Requantize
from edgewright.passes.precision.bit_widths import BitFront, with_bits
from edgewright.passes.precision.sensitivity import rounding_losses
from edgewright.passes.precision.wide_layers import activations, around, refused, widened
from edgewright.passes.quantize.quantize_static import quantize_static
from edgewright.passes.registry import Context
from edgewright.passes.side_by_side import affordable

ACTIVATIONS = (8, 16)
MOST_CUTS = 40
"""Sets of layers that are found to need too much arena together, before int16 is given up."""
SKETCHED = 8
"""Samples that give ranges where only costs are asked for."""
REPRICED = 3
"""Times that a selection is solved for again because the network, planned as a whole, takes more time than its layers."""


def parse_activations(text: str) -> bool:
    """"8" or "8,16" → whether activations may be int16; RecipeError for others."""
    parts = {part.strip() for part in text.split(",")}
    if parts not in ({"8"}, {"8", "16"}):
        hint = "8 or 8,16; narrower ones take the bytes and the time of 8 bits, and recipe w8a16 makes all of them int16"
        raise RecipeError(f"activations are {text!r}", hint=hint)
    return "16" in parts


@dataclass(frozen=True, eq=False)
class WidthFront:
    """What :func:`width_front` found of a float network. ``unit``: what time is counted in."""

    bits: BitFront
    names: tuple[str, ...]
    program: WidthProgram
    unit: str
    ctx: Context

    @property
    def int8_time(self) -> float:
        """Of the widest weights and int8 activations."""
        return self.narrow([len(self.bits.widths) - 1] * len(self.bits.weights_of)).time

    def within(self, most_bytes: float, most_time: float, arena_bytes: int = 0) -> Widths:
        """The selection that loses least with at most ``most_bytes`` of weights and ``most_time``; ``arena_bytes``: of RAM, 0: any.

        Arenas are planned, not estimated: where a selection needs too much, the fewest of its int16 layers that do are found, and never
        taken together again. RecipeError where nothing stays within the limits.
        """
        never: list[frozenset[int]] = []
        limit, repriced = most_time, 0
        while True:
            found = best_widths(self.program, most_bytes - self.bits.fixed_bytes, limit, never)
            if found is None:
                raise self._impossible(most_bytes - self.bits.fixed_bytes, most_time)
            wide = self.program.wide_layers(found)
            if wide and repriced < REPRICED and (taken := self._time(found)) > most_time:
                limit, repriced = limit * min(most_time / taken, 0.999), repriced + 1
                continue
            if not arena_bytes or self._arena(wide) <= arena_bytes:
                return found
            if not wide:
                raise RecipeError(f"int8 activations need {self._arena(wide):,.0f} bytes of arena, {arena_bytes:,} are allowed",
                                  hint="allow more")  # fmt: skip
            if len(never) == MOST_CUTS:
                self.ctx.skipped(self.bits.graph.name, f"no int16 activations that fit into {arena_bytes:,} bytes were found in time")
                never += [frozenset({layer}) for layer in range(len(self.names))]
            else:
                never.append(self._least(wide, arena_bytes))

    def _impossible(self, most_bytes: float, most_time: float) -> RecipeError:
        quick, small = best_widths(self.program, np.inf, most_time), best_widths(self.program, most_bytes)
        if quick is None:
            what = f"{most_time:,.0f} {self.unit}, even int8 takes {self.int8_time:,.0f}"
        elif small is None:
            what = f"{most_bytes + self.bits.fixed_bytes:,.0f} bytes of weights"
        else:
            what = f"{most_bytes + self.bits.fixed_bytes:,.0f} bytes of weights and {most_time:,.0f} {self.unit} together"
        return RecipeError(f"no widths keep within {what}", hint="allow more, or other widths of weights")

    def narrow(self, picks: Sequence[int]) -> Widths:
        """int8 activations, and weights as a selection of the BitFront has them."""
        of = dict(zip(self.bits.weights_of, picks, strict=True))
        return self.program.judged([of.get(name, 0) for name in self.names])

    def wide(self) -> Widths:
        """The widest weights, and int16 activations wherever there is a form for them."""
        return self.program.judged([len(choices) - 1 for choices in self.program.layers])

    def widths_of(self, widths: Widths) -> tuple[dict[str, int], list[str]]:
        """Layer → bits of its weights, and the nodes that take and give int16."""
        wide = self.program.wide_layers(widths)
        pick = dict(zip(self.names, widths.picks, strict=True))
        bits = {layer: self.bits.widths[pick[layer] % len(self.bits.widths)].bits for layer in self.bits.weights_of}
        return bits, [self.names[layer] for layer in sorted(wide) if self._node(layer)]

    def _node(self, layer: int) -> bool:
        return layer >= len(self.bits.graph.inputs)

    def apply(self, widths: Widths, ctx: Context, **options: str | int) -> Graph:
        """The network quantized with ``widths``; ``options`` are those of quantize_static."""
        bits, wide = self.widths_of(widths)
        chosen = with_bits(self.bits.graph, {self.bits.weights_of[layer]: width for layer, width in bits.items()})
        return _widened(quantize_static(chosen, ctx, **options), wide)

    def _arena(self, wide: Iterable[int]) -> float:
        names = {self.names[layer] for layer in wide if self._node(layer)}
        try:
            return self.ctx.costs["arena_bytes"](_widened(_sketch(self.bits.graph, self.ctx), names))
        except BudgetError:
            return np.inf

    def _least(self, wide: frozenset[int], arena_bytes: int) -> frozenset[int]:
        """A set within ``wide`` that needs more than ``arena_bytes``, and no longer does without any one of its layers."""
        left = sorted(wide)
        size = max(1, len(left) // 2)
        while True:
            for start in range(0, len(left), size):
                less = left[:start] + left[start + size :]
                if less and self._arena(less) > arena_bytes:
                    left = less
                    break
            else:
                if size == 1:
                    return frozenset(left)
                size //= 2

    def _time(self, widths: Widths) -> float:
        """Of the network as it would be lowered; that of the layers where nothing more is known."""
        if self.unit not in self.ctx.layer_costs:
            return widths.time
        bits, wide = self.widths_of(widths)
        chosen = with_bits(self.bits.graph, {self.bits.weights_of[layer]: width for layer, width in bits.items()})
        times = _times(self.ctx, self.unit, _widened(_sketch(chosen, self.ctx), wide))
        return sum(times.values()) if times else widths.time


def width_front(bits: BitFront, ctx: Context, samples: int, wide: bool = True) -> WidthFront:
    """What the activations of ``bits.graph`` lose at int8, and what every layer costs with every width of weights and activations.

    Losses are measured one at a time on ``samples`` calibration samples and taken to add up; int16 is taken to lose nothing. Time is the
    target's modelled cycles, else instructions, else (nothing is known) multiply-accumulates, twice as many for int16. ``wide``: whether
    activations may be int16 at all.
    """
    graph, data = bits.graph, ctx.calibration()
    quiet = Context(data=data, target=ctx.target, seed=ctx.seed)
    base = quantize_static(graph, quiet)
    groups = [members for members in activations(base) if members[0] in graph.values]
    inputs = [array[: affordable(graph, min(samples, data.count))] for array in data.inputs]
    lost = rounding_losses(graph, inputs, {members[0]: base.value(members[0]) for members in groups})
    kinds = list(itertools.product(ACTIVATIONS if wide else ACTIVATIONS[:1], bits.widths))
    unit, times = _priced(bits, ctx, kinds)
    names = (*graph.inputs, *(node.name for node in graph.nodes))
    place = {name: number for number, name in enumerate(names)}
    layers = [_input_choices(base, name)[: 1 + wide] for name in graph.inputs]
    nodes = {node.name: node for node in base.nodes}
    layers += [_choices(bits, nodes[node.name], base, [known[node.name] for known in times]) for node in graph.nodes]

    def maker(name: str) -> int:
        return place[graph.producers[name].name] if name in graph.producers else place[name]

    known = tuple(
        Activation(lost[members[0]], tuple(dict.fromkeys([maker(members[0]), *(place[node.name] for node in around(graph, members))])))
        for members in groups if members[0] in lost
    )  # fmt: skip
    crossings = _crossings(ctx, unit, {graph.value(name).elements for members in groups for name in members})
    bridges = tuple(
        Bridge(crossings[graph.value(name).elements], maker(name), tuple(place[node.name] for node in graph.consumers.get(name, ())))
        for members in groups for name in members if graph.consumers.get(name)
    )  # fmt: skip
    return WidthFront(bits, names, WidthProgram(tuple(layers), known, bridges), unit, ctx)


def _input_choices(base: Graph, name: str) -> tuple[Choice, ...]:
    """An input of the network costs nothing by itself."""
    quant = base.value(name).quant
    return (Choice(), Choice(wide=True)) if quant is not None and quant.dtype is DType.INT8 else (Choice(),)


def _choices(bits: BitFront, node: Node, base: Graph, times: list[float]) -> tuple[Choice, ...]:
    """int8 activations with each width of weights, then int16 ones where ``node`` can have them; ``times`` in that order."""
    count = len(bits.widths)
    wides = (False,) if len(times) == count or refused(base, node) else (False, True)
    if node.name not in bits.weights_of:
        return tuple(Choice(time=times[count * wide], wide=wide) for wide in wides)
    elements = bits.graph.value(bits.weights_of[node.name]).elements
    sizes, losses = [float(dtype.bytes_of(elements)) for dtype in bits.widths], bits.losses[node.name]
    return tuple(Choice(sizes[pick], times[count * wide + pick], losses[pick], wide) for wide in wides for pick in range(count))


def _priced(bits: BitFront, ctx: Context, kinds: list[tuple[int, DType]]) -> tuple[str, list[dict[str, float]]]:
    """The unit of time, and for each of ``kinds`` (activation bits, width of all weights) the time of every node."""
    graph, names = bits.graph, [node.name for node in bits.graph.nodes]
    for unit in ("cycles", "instructions"):
        found = []
        for activation_bits, dtype in kinds:
            chosen = with_bits(graph, dict.fromkeys(bits.weights_of.values(), dtype.bits))
            base = _sketch(chosen, ctx)
            times = _times(ctx, unit, base if activation_bits == 8 else _widened(base, names))
            if not all(name in times for name in bits.weights_of) or not times:
                break
            found.append({node.name: times.get(node.name, 0.0) for node in graph.nodes})
        if len(found) == len(kinds):
            return unit, found
    work = {node.name: float(node.op.macs(graph.ins(node), graph.outs(node)) + sum(value.elements for value in graph.outs(node)))
            for node in graph.nodes}  # fmt: skip
    return "multiply-accumulates", [{name: amount * activation_bits / 8 for name, amount in work.items()} for activation_bits, _ in kinds]


def _times(ctx: Context, unit: str, quantized: Graph) -> dict[str, float]:
    """Layer → time; empty where it is unknown, or the network does not fit."""
    try:
        return ctx.layer_costs[unit](quantized) if unit in ctx.layer_costs else {}
    except BudgetError:
        return {}


def _crossings(ctx: Context, unit: str, sizes: Iterable[int]) -> dict[int, float]:
    """Elements of a value → the time of its Requantize."""
    builder = GraphBuilder("crossings", Level.QUANTIZED)
    narrow, wide = affine_quant(-1.0, 1.0), affine_quant(-1.0, 1.0, DType.INT16)
    ordered = sorted(sizes)
    outputs = [
        builder.node(Requantize(), [builder.input(f"x{size}", (None, size), quant=narrow)], name=f"to{size}", quants=[wide])
        for size in ordered
    ]
    known = _times(ctx, unit, builder.finish(outputs)) if ordered else {}
    return {size: known.get(f"to{size}", float(size)) for size in ordered}


def _widened(quantized: Graph, names: Collection[str]) -> Graph:
    """``quantized`` with those of its layers ``names`` of int16 that can be."""
    return widened(quantized, [node for node in quantized.nodes if node.name in names and not refused(quantized, node)])


def _sketch(graph: Graph, ctx: Context) -> Graph:
    """``graph`` quantized with the ranges of few samples: what it costs hardly depends on them."""
    few = Data(tuple(array[:SKETCHED] for array in ctx.calibration().inputs))
    return quantize_static(graph, Context(data=few, target=ctx.target, seed=ctx.seed))
