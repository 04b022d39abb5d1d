"""Run a recipe over a graph, and bring the graph to the integer level: what the pipeline and the search both do with passes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph, Level
from edgewright.lower.integer import lower_integer
from edgewright.passes import check_recipe
from edgewright.passes.registry import PASSES, Context, Line
from edgewright.recipe import RECIPES, Recipe, Step
from edgewright.targets.target import Target

Progress = Callable[[str, int, int], None]
"""Called as progress(what, step, steps)."""
MOST_ROUNDS = 20
"""A block of exact passes that still changes something after so many rounds is left as it is: every round's result is valid."""


def run_recipe(
    graph: Graph, recipe: Recipe, ctx: Context, progress: Progress | None = None, audit: Callable[[Graph], None] | None = None
) -> Graph:
    """The steps of ``recipe`` in order; a block of repeated steps runs until it changes nothing.

    ``audit`` is shown the graph before each step that quantizes activations, to refuse what it cannot take before the work is done.
    """
    check_recipe(recipe)
    done = 0
    for block in recipe.blocks():
        rounds = MOST_ROUNDS if block[0].repeat else 1
        for _ in range(rounds):
            before = graph
            for number, step in enumerate(block):
                if progress is not None:
                    progress(step.name, done + number, len(recipe.steps))
                    ctx.say = partial(_tell, progress, step.name, done + number, len(recipe.steps))
                if audit is not None and PASSES[step.name].makes_integers and PASSES[step.name].takes(graph.level):
                    audit(graph)
                graph = _run_step(graph, step, ctx)
            if graph is before:
                break
        done += len(block)
    return graph


def _tell(progress: Progress, name: str, step: int, steps: int, text: str) -> None:
    progress(f"{name}: {text}", step, steps)


def _run_step(graph: Graph, step: Step, ctx: Context) -> Graph:
    """One pass; one that does not take the level of an already quantized network is passed over, and the report says so once."""
    entry = PASSES[step.name]
    if entry.takes(graph.level):
        return entry.function(graph, ctx, **step.options)
    if graph.level is Level.FLOAT:
        message = f"pass {step.name!r} takes a {entry.level} graph, the network is at the float level"
        raise RecipeError(message, hint="quantize it before that step")
    why = f"the network is already at the {graph.level.value} level"
    line = Line(step.name, "skipped", graph.name, why)
    if line not in ctx.lines:
        ctx.lines.append(line)
    return graph


def is_integer(graph: Graph) -> bool:
    """Whether every value of ``graph`` is, or will be, integers: whether it can be lowered."""
    return graph.level is Level.INTEGER or (
        graph.level is Level.QUANTIZED and all(value.quant is not None for value in graph.values.values())
    )


def integer_graph(graph: Graph, target: Target, ctx: Context) -> Graph:
    """``graph`` at the integer level, cleaned once more at that level."""
    clean = check_recipe(RECIPES["clean"])
    steps = tuple(step for step in clean.steps if PASSES[step.name].takes(Level.INTEGER))
    return run_recipe(lower_integer(graph, target), Recipe("clean", steps), ctx)
