"""The whole front of mixed precision in one run: bytes, time and arena against what the network still answers, uniform widths beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgewright.costs import cost_functions, known_costs, layer_cost_functions
from edgewright.data import Data
from edgewright.errors import RecipeError, UnsupportedError
from edgewright.evaluation.metrics import METRICS
from edgewright.evaluation.outputs import Reals, real_outputs, regresses, scores_of
from edgewright.ir.graph import Graph, Level
from edgewright.numerics.width_program import Widths
from edgewright.passes.precision.bit_widths import BitFront, bit_front, parse_widths
from edgewright.passes.precision.mixed_widths import WidthFront, parse_activations, width_front
from edgewright.passes.registry import Context
from edgewright.recipe import RECIPES, Recipe, Step
from edgewright.steps import integer_graph, run_recipe
from edgewright.targets.target import Target

SHARES = (0.3, 0.4, 0.5, 0.6, 0.75, 1.0)
SAMPLES = 128
WIDER = (1.02, 1.05, 1.1, 1.25, 1.5, 2.0)
"""Time that int16 activations may take, times that of the same weights with int8 ones."""
WORTH = 0.8
"""Of the loss that was reached in less time: more is not worth a network of its own."""


@dataclass(frozen=True)
class Point:
    """One network of the front. ``bits``: layer → width; ``weight_bytes``: packed; ``loss``: as measured layer by layer and added up;
    ``wide``: the nodes that take and give int16, all others int8.

    ``agreement``: share of the test samples that get the float network's answer; ``accuracy``: with labels only. None where the output is
    no score of classes. ``r2``: of a regression, with targets only. ``costs``: what is known of it on the target: flash_bytes, arena_bytes,
    instructions and cycles of one inference. ``undominated``: no other point is as good in answers, bytes of weights, arena and time, and
    better in one of them; ``chosen``: the smallest within the drop.
    """

    name: str
    bits: dict[str, int]
    weight_bytes: int
    loss: float
    agreement: float | None
    accuracy: float | None
    r2: float | None = None
    costs: dict[str, float] = field(default_factory=dict)
    wide: list[str] = field(default_factory=list)
    undominated: bool = False
    chosen: bool = False

    @property
    def figure(self) -> float:
        """What the point is judged by: accuracy, else R², else agreement, else the loss turned round."""
        known = next((figure for figure in (self.accuracy, self.r2, self.agreement) if figure is not None), None)
        return -self.loss if known is None else known

    @property
    def time(self) -> float:
        """Modelled cycles, else instructions, of one inference; 0 where neither is known."""
        return self.costs.get("cycles", self.costs.get("instructions", 0.0))

    def beats(self, other: Point) -> bool:
        """Whether this one is as good in all, and better in something."""
        pairs = [(point.weight_bytes, point.costs.get("arena_bytes", 0.0), point.time, -point.figure) for point in (self, other)]
        return pairs[0] != pairs[1] and all(ours <= theirs for ours, theirs in zip(*pairs, strict=True))


def precision_front(
    graph: Graph,
    target: Target,
    *,
    data: Data,
    test: Data,
    widths: str = "2,4,8",
    shares: Sequence[float] = SHARES,
    drop: float | None = None,
    slowdown: float = 0.0,
    activations: str = "8,16",
    arena_bytes: int = 0,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> list[Point]:
    """Networks with mixed and with uniform widths, judged on ``test`` by the integers of the device; the smallest first.

    ``shares``: budgets, of the bytes that int8 weights take; those that uniform widths take are tried too. ``drop``: the most that
    accuracy (without labels: R² or agreement) may fall against the float network, as a share of 1: layers get their bits back, from the
    smallest network up, until it holds. ``slowdown``: the most time of mixed networks, times that of int8; 0: any.
    ``activations``: "8,16" tries int16 for some of them, under several limits of time; ``arena_bytes``: the most RAM for them, 0: any.
    """
    if graph.level is not Level.FLOAT:
        raise UnsupportedError(f"{graph.name!r} is at the {graph.level.value} level", hint="give the float network: bits are chosen there")
    if not shares or not all(0 < share <= 1 for share in shares):
        raise RecipeError(f"shares are {list(shares)}", hint="numbers above 0, up to 1")
    if slowdown < 0 or arena_bytes < 0:
        raise RecipeError(f"slowdown is {slowdown}, arena_bytes {arena_bytes}", hint="at least 0; 0 stands for any")
    say = progress or (lambda _: None)
    both = parse_activations(activations)
    ctx = Context(data=data, target=target, seed=seed, costs=cost_functions(target), layer_costs=layer_cost_functions(target))
    say("measure what each layer loses")
    clean = run_recipe(graph, Recipe("clean", (Step("dequantize_weights"), *RECIPES["clean"].steps)), ctx)
    bits = bit_front(clean, ctx, parse_widths(widths), SAMPLES, slowdown)
    if bits is None:
        raise UnsupportedError(f"{graph.name!r} has no layer whose bits can be chosen", hint="layers need constant weights of their own")
    front = width_front(bits, ctx, SAMPLES, both)
    reference = real_outputs(clean, test)[0]
    points = []
    for name, chosen in _wanted(front, bits, shares, slowdown, arena_bytes, both).items():
        say(name)
        points.append(_point(name, front, chosen, target, ctx, test, reference))
    return _judged(points, None if drop is None else _float_figure(reference, test) - drop)


def _wanted(front: WidthFront, bits: BitFront, shares: Sequence[float], slowdown: float, arena_bytes: int, both: bool) -> dict[str, Widths]:
    """Name → widths of every network that is worth a look."""
    found: dict[str, Widths] = {}
    uniform = [front.narrow(bits.uniform(pick).picks) for pick in range(len(bits.widths))]
    budgets = {f"mixed, {share:.0%}": bits.fixed_bytes + share * bits.int8_bytes for share in shares}
    for width, widths in zip(bits.widths, uniform, strict=True):
        found[f"uniform, {width.bits} bits"] = widths
        budgets[f"mixed, as {width.bits} bits"] = bits.fixed_bytes + widths.bytes
    if both:
        found["uniform, int16 activations"] = front.wide()
    seen = {widths.picks for widths in found.values()}
    for name, budget in sorted(budgets.items(), key=lambda entry: entry[1]):
        if not bits.selections or bits.selections[0].cost + bits.fixed_bytes > budget:
            continue
        narrow = front.narrow(bits.within(budget).picks)
        if narrow.picks not in seen:
            found[name] = narrow
            seen.add(narrow.picks)
        most = slowdown * front.int8_time or float("inf")
        last = narrow
        for factor in WIDER if both else ():
            limit = min(most, factor * narrow.time)
            wide = front.within(budget, limit, arena_bytes) if limit >= narrow.time else narrow
            if wide.loss < WORTH * last.loss and wide.picks not in seen:
                found[f"{name}, int16 within {factor:g}x"] = last = wide
                seen.add(wide.picks)
    return found


def _point(name: str, front: WidthFront, chosen: Widths, target: Target, ctx: Context, test: Data, reference: Reals) -> Point:
    quiet = Context(data=ctx.data, target=target, seed=ctx.seed)
    applied = front.apply(chosen, quiet, ranges="minmax", weight_ranges="mse")
    quantized = run_recipe(applied, Recipe("rounded", (Step("round_weights"),)), quiet)
    integer = integer_graph(quantized, target, Context(target=target))
    outputs = real_outputs(integer, test)[0]
    regression = regresses(test, outputs)
    first, second = (None if regression else scores_of(array, test.count) for array in (reference, outputs))
    agreement = None if first is None or second is None else float(np.mean(first.argmax(1) == second.argmax(1)))
    accuracy = None if second is None or test.labels is None else float(np.mean(second.argmax(1) == test.labels))
    r2 = METRICS["r2"].of(outputs, test.reals) if regression else None
    bits, wide = front.widths_of(chosen)
    size = int(chosen.bytes) + front.bits.fixed_bytes
    return Point(name, bits, size, chosen.loss, agreement, accuracy, r2, known_costs(integer, target), wide)


def _float_figure(reference: Reals, test: Data) -> float:
    if regresses(test, reference):
        return METRICS["r2"].of(reference, test.reals)
    scores = scores_of(reference, test.count)
    if scores is None:
        raise RecipeError("a drop is a share of accuracy or agreement, and the network is no classifier", hint="leave the drop out")
    return 1.0 if test.labels is None else float(np.mean(scores.argmax(1) == test.labels))


def _judged(points: Sequence[Point], least: float | None) -> list[Point]:
    """``points`` by rising bytes, marked."""
    ordered = sorted(points, key=lambda point: (point.weight_bytes, point.time, -point.figure))
    chosen = next((point for point in ordered if least is not None and point.figure >= least), None)
    return [
        dataclasses.replace(point, undominated=not any(other.beats(point) for other in ordered), chosen=point is chosen)
        for point in ordered
    ]
