"""Bits of weights, layer by layer: what may be chosen, what it costs, and every best selection."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Structure
from edgewright.numerics.knapsack import Selection, pareto_front
from edgewright.passes.precision.sensitivity import sensitivities, weighted_layers
from edgewright.passes.registry import Context
from edgewright.passes.side_by_side import affordable

WIDTHS = {2: DType.INT2, 3: DType.INT3, 4: DType.INT4, 8: DType.INT8}
FEW_WEIGHTS = 16


def parse_widths(text: str) -> list[DType]:
    """"2,4,8" → types, ascending; RecipeError where one is no width of weights."""
    parts = [part.strip() for part in text.split(",")]
    if not parts or any(not part.isdigit() or int(part) not in WIDTHS for part in parts):
        raise RecipeError(f"widths are {text!r}", hint=f"some of {', '.join(map(str, WIDTHS))}, with commas between")
    return [WIDTHS[bits] for bits in sorted({int(part) for part in parts})]


@dataclass(frozen=True, eq=False)
class BitFront:
    """Every undominated selection of bits; the cost is bytes of weights.

    ``weights_of``: layer → weight, in the order of the picks; ``losses`` by layer and width. ``fixed_bytes``: what weights take that are
    not chosen for: shared ones and those that have bits already. ``int8_bytes``: what the others take in int8.
    """

    graph: Graph
    widths: tuple[DType, ...]
    weights_of: dict[str, str]
    losses: dict[str, list[float]]
    fixed_bytes: int
    int8_bytes: int
    selections: tuple[Selection, ...]

    def within(self, budget: float) -> Selection:
        """The selection that loses least with at most ``budget`` bytes of weights; RecipeError where none is so small."""
        if not self.selections:
            raise RecipeError("no bits of the weights are quick enough", hint="allow a greater slowdown, or wider weights")
        fitting = [selection for selection in self.selections if selection.cost + self.fixed_bytes <= budget]
        if not fitting:
            least = self.selections[0].cost + self.fixed_bytes
            raise RecipeError(f"the weights take at least {least:,.0f} bytes, the budget is {budget:,.0f}", hint="allow more bytes")
        return fitting[-1]

    def uniform(self, pick: int) -> Selection:
        """The selection of the same width, number ``pick`` of those tried, for every layer."""
        sizes = [self.graph.value(name).elements for name in self.weights_of.values()]
        loss = sum(losses[pick] for losses in self.losses.values())
        return Selection(float(sum(self.widths[pick].bytes_of(size) for size in sizes)), loss, (pick,) * len(sizes))

    def apply(self, selection: Selection) -> Graph:
        """The graph with the bits of ``selection`` in the structures of its weights."""
        picks = zip(self.weights_of.values(), selection.picks, strict=True)
        return with_bits(self.graph, {name: self.widths[pick].bits for name, pick in picks})


def bit_front(graph: Graph, ctx: Context, widths: list[DType], samples: int, slowdown: float = 0.0) -> BitFront | None:
    """Sensitivities measured and every budget solved; None where there is nothing to choose.

    ``slowdown``: the most time, times that of int8 weights, by the target's modelled cycles (where it has none, instructions); 0: any.
    """
    if graph.states:
        ctx.skipped(graph.name, "bits of networks with states are not chosen yet")
        return None
    layers = {}
    for name, part in weighted_layers(graph).items():
        structure = graph.constants[part.weight].structure
        if structure is not None and (structure.bits is not None or structure.codebook is not None):
            ctx.skipped(name, "its weights have a codebook" if structure.bits is None else f"its weights have {structure.bits} bits")
            continue
        layers[name] = part
    if not layers:
        return None
    data = ctx.calibration()
    inputs = [array[: affordable(graph, min(samples, data.count))] for array in data.inputs]
    losses = sensitivities(graph, inputs, layers, widths)
    weights_of = {name: part.weight for name, part in layers.items()}
    loads = [_times(graph, ctx, weights_of, dtype) for dtype in widths] if slowdown else []
    most_load = slowdown * sum(_times(graph, ctx, weights_of, DType.INT8)) if slowdown else 0.0
    items = [
        [(dtype.bytes_of(graph.value(part.weight).elements), loss) for dtype, loss in zip(widths, losses[name], strict=True)]
        for name, part in layers.items()
    ]
    return BitFront(
        graph,
        tuple(widths),
        weights_of,
        losses,
        _fixed_bytes(graph, weights_of.values()),
        sum(graph.value(part.weight).elements for part in layers.values()),
        tuple(pareto_front(items, loads=list(zip(*loads, strict=True)) or None, most_load=most_load)),
    )


def no_bits(graph: Graph, widths: list[DType]) -> BitFront:
    """The front of a network whose weights' bits all stand."""
    return BitFront(graph, tuple(widths), {}, {}, _fixed_bytes(graph, ()), 0, (Selection(0.0, 0.0, ()),))


def _fixed_bytes(graph: Graph, chosen: Iterable[str]) -> int:
    """Of the weights other than ``chosen``."""
    weights = {node.inputs[index] for node in graph.nodes for index in node.op.weight_inputs if graph.is_constant(node.inputs[index])}
    return sum(weight_width(graph, name, DType.INT8).bytes_of(graph.value(name).elements) for name in weights - {*chosen})


def edge_layers(graph: Graph) -> set[str]:
    """Names of the layers that suffer most from narrow weights, and have few: the first and the last ones with weights (what comes before,
    or after, is no such layer), and those of fewer than FEW_WEIGHTS a channel, as depthwise ones."""
    before: set[str] = set()
    first: set[str] = set()
    for node in graph.nodes:
        behind = bool(before & {*node.inputs})
        if node.op.weight_inputs and not behind:
            first.add(node.name)
        if node.op.weight_inputs or behind:
            before.update(node.outputs)
    ahead: set[str] = set()
    last: set[str] = set()
    for node in reversed(graph.nodes):
        reaches = bool(ahead & {*node.outputs})
        if node.op.weight_inputs and not reaches:
            last.add(node.name)
        if node.op.weight_inputs or reaches:
            ahead.update(node.inputs)
    few = {
        node.name
        for node in graph.nodes
        for shape in (graph.value(node.inputs[index]).sample_shape for index in node.op.weight_inputs)
        if math.prod(shape[1:]) < FEW_WEIGHTS
    }
    return first | last | few


def _times(graph: Graph, ctx: Context, weights_of: dict[str, str], dtype: DType) -> list[float]:
    """What each layer takes on the target where all these weights are of ``dtype``: modelled cycles, or instructions."""
    narrow = with_bits(graph, dict.fromkeys(weights_of.values(), dtype.bits))
    for cost in ("cycles", "instructions"):
        known = ctx.layer_costs[cost](narrow) if cost in ctx.layer_costs else {}
        if all(name in known for name in weights_of):
            return [known[name] for name in weights_of]
    raise RecipeError("nothing is known of the time that layers take on this target", hint="leave slowdown at 0, or choose another target")


def with_bits(graph: Graph, bits: dict[str, int]) -> Graph:
    """``graph`` with ``bits`` (weight → width) in the structures of its weights."""
    found = {name: graph.constants[name] for name in bits}
    structures = {name: dataclasses.replace(constant.structure or Structure(), bits=bits[name]) for name, constant in found.items()}
    return rebuild(graph, constants={name: Constant(constant.array, structures[name]) for name, constant in found.items()})


def weight_width(graph: Graph, name: str, usual: DType) -> DType:
    """The width of weight ``name``: the least that holds the bits of its structure; ``usual`` where it has none."""
    structure = graph.constants[name].structure
    bits = None if structure is None else structure.bits
    return usual if bits is None else next((dtype for width, dtype in sorted(WIDTHS.items()) if width >= bits), usual)
