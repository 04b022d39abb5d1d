"""The whole front of mixed precision in one run: bytes of weights against what the network still answers, uniform widths beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgewright.costs import known_costs, layer_cost_functions
from edgewright.data import Data
from edgewright.errors import RecipeError, UnsupportedError
from edgewright.evaluation.outputs import Reals, real_outputs, scores_of
from edgewright.ir.graph import Graph, Level
from edgewright.numerics.knapsack import Selection
from edgewright.passes.bit_widths import BitFront, bit_front, parse_widths
from edgewright.passes.registry import Context
from edgewright.recipe import RECIPES, Recipe, Step
from edgewright.steps import integer_graph, run_recipe
from edgewright.targets.target import Target

SHARES = (0.3, 0.4, 0.5, 0.6, 0.75, 1.0)
SAMPLES = 128


@dataclass(frozen=True)
class Point:
    """One network of the front. ``bits``: layer → width; ``weight_bytes``: packed; ``loss``: as measured layer by layer and added up.

    ``costs``: what is known of it on the target: flash_bytes, arena_bytes, instructions and cycles of one inference.
    ``agreement``: share of the test samples that get the float network's answer; ``accuracy``: with labels only. None where the output is
    no score of classes. ``undominated``: no other point has fewer bytes and as good an answer; ``chosen``: the smallest within the drop.
    """

    name: str
    bits: dict[str, int]
    weight_bytes: int
    loss: float
    agreement: float | None
    accuracy: float | None
    costs: dict[str, float] = field(default_factory=dict)
    undominated: bool = False
    chosen: bool = False

    @property
    def figure(self) -> float:
        """What the point is judged by: accuracy, else agreement, else the loss turned round."""
        known = self.agreement if self.accuracy is None else self.accuracy
        return -self.loss if known is None else known


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
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> list[Point]:
    """Networks with mixed and with uniform bits, judged on ``test`` by the integers of the device; the smallest first.

    ``shares``: budgets, of the bytes that int8 weights take. ``drop``: the most that accuracy (without labels: agreement) may fall against
    the float network, as a share of 1: layers get their bits back, from the smallest network up, until it holds. ``slowdown``: the most
    time of mixed networks, times that of int8 weights, as choose_bits has it; 0: any.
    """
    if graph.level is not Level.FLOAT:
        raise UnsupportedError(f"{graph.name!r} is at the {graph.level.value} level", hint="give the float network: bits are chosen there")
    if not shares or not all(0 < share <= 1 for share in shares):
        raise RecipeError(f"shares are {list(shares)}", hint="numbers above 0, up to 1")
    say = progress or (lambda _: None)
    ctx = Context(data=data, target=target, seed=seed, layer_costs=layer_cost_functions(target))
    say("measure what each layer loses")
    clean = run_recipe(graph, Recipe("clean", (Step("dequantize_weights"), *RECIPES["clean"].steps)), ctx)
    front = bit_front(clean, ctx, parse_widths(widths), SAMPLES, slowdown)
    if front is None:
        raise UnsupportedError(f"{graph.name!r} has no layer whose bits can be chosen", hint="layers need constant weights of their own")
    reference = real_outputs(clean, test)[0]
    wanted: dict[str, Selection] = {}
    for share in shares:
        budget = front.fixed_bytes + share * front.int8_bytes
        if front.selections and front.selections[0].cost + front.fixed_bytes <= budget:
            wanted[f"mixed, {share:.0%}"] = front.within(budget)
    for pick, width in enumerate(front.widths):
        wanted[f"uniform, {width.bits} bits"] = front.uniform(pick)
    points = []
    for name, selection in wanted.items():
        say(name)
        points.append(_point(name, front, selection, target, ctx, test, reference))
    return _judged(points, None if drop is None else _float_figure(reference, test) - drop)


def _point(name: str, front: BitFront, selection: Selection, target: Target, ctx: Context, test: Data, reference: Reals) -> Point:
    options = {"ranges": "minmax", "weight_ranges": "mse"}
    recipe = Recipe("mixed", (Step("quantize_static", options), Step("round_weights")))
    quantized = run_recipe(front.apply(selection), recipe, Context(data=ctx.data, target=target, seed=ctx.seed))
    integer = integer_graph(quantized, target, Context(target=target))
    outputs = real_outputs(integer, test)[0]
    first, second = (scores_of(array, test.count) for array in (reference, outputs))
    agreement = None if first is None or second is None else float(np.mean(first.argmax(1) == second.argmax(1)))
    accuracy = None if second is None or test.labels is None else float(np.mean(second.argmax(1) == test.labels))
    bits = {layer: front.widths[pick].bits for layer, pick in zip(front.weights_of, selection.picks, strict=True)}
    return Point(name, bits, int(selection.cost) + front.fixed_bytes, selection.loss, agreement, accuracy, known_costs(integer, target))


def _float_figure(reference: Reals, test: Data) -> float:
    scores = scores_of(reference, test.count)
    if scores is None:
        raise RecipeError("a drop is a share of accuracy or agreement, and the network is no classifier", hint="leave the drop out")
    return 1.0 if test.labels is None else float(np.mean(scores.argmax(1) == test.labels))


def _judged(points: Sequence[Point], least: float | None) -> list[Point]:
    """``points`` by rising bytes, marked."""
    ordered = sorted(points, key=lambda point: (point.weight_bytes, -point.figure))
    chosen = next((point for point in ordered if least is not None and point.figure >= least), None)
    return [
        dataclasses.replace(
            point,
            undominated=not any(
                other is not point
                and other.weight_bytes <= point.weight_bytes
                and other.figure >= point.figure
                and (other.weight_bytes, -other.figure) != (point.weight_bytes, -point.figure)
                for other in ordered
            ),
            chosen=point is chosen,
        )
        for point in ordered
    ]
