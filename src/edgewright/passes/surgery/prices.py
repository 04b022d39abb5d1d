"""What a network costs, by the names that passes with a budget are told."""

from __future__ import annotations

from collections.abc import Callable

from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph
from edgewright.ops.cost import cost as cost_of
from edgewright.passes.registry import Context

Price = Callable[[Graph], float]
OWN: dict[str, Price] = {
    "macs": lambda graph: float(cost_of(graph).macs),
    "parameters": lambda graph: float(cost_of(graph).parameters),
}


def budgeted(technique: str, graph: Graph, ctx: Context, budget: float, cost: str) -> tuple[Price, float, float]:
    """The function called ``cost``, what it says of ``graph``, and the most that may remain.

    ``budget``: below 1 a share of the present cost, from 1 on the cost itself. RecipeError where there is no such cost.
    """
    known = OWN | ctx.costs
    if cost not in known:
        raise RecipeError(f"nothing is known of the cost {cost!r}", hint=f"one of {', '.join(known)}")
    if not budget > 0:
        raise RecipeError(f"{technique} has budget {budget}", hint="a share below 1, or what the network may cost")
    present = known[cost](graph)
    if present == float("inf"):
        raise RecipeError(f"nothing is known of {cost} on this target", hint="choose another target, or macs, which need none")
    return known[cost], present, budget * present if budget < 1 else budget
