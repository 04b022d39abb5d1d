"""Will it pay? Each technique tried on a network without any training, and what the target would gain by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgewright.costs import cost_functions, known_costs, noise_samples
from edgewright.data import Data
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import EdgewrightError, UnsupportedError
from edgewright.ir.graph import Graph, Level
from edgewright.ops.cost import cost
from edgewright.passes.registry import PASSES, Context
from edgewright.recipe import RECIPES, Recipe, Step
from edgewright.run.vela import run_vela
from edgewright.steps import integer_graph, run_recipe
from edgewright.targets.target import Target

WORTH = 0.97
"""A figure that falls by less than 3 % is no gain."""
NOISE_SAMPLES = 8


@dataclass(frozen=True)
class Idea:
    """A technique as a recipe would have it: steps before quantization, and the recipe that quantizes. ``aims``: the figures it is for.

    ``note``: what the figures do not tell.
    """

    name: str
    steps: tuple[Step, ...] = ()
    recipe: str = "w8a8"
    aims: tuple[str, ...] = ("cycles", "instructions", "npu_cycles", "macs")
    note: str = ""


SIZE = ("flash_bytes", "file_bytes")
IDEAS: tuple[Idea, ...] = (
    Idea("half the channels", (Step("prune_channels", {"importance": "l2", "refit_layers": False}),)),
    Idea(
        "half the channels, any count",
        (Step("prune_channels", {"importance": "l2", "refit_layers": False, "multiple": 1}),),
        note="counts that the kernels are not made for",
    ),
    Idea("a quarter fewer multiply-accumulates by whole blocks", (Step("remove_blocks", {"refit_layers": False}),)),
    Idea("layers of lower rank", (Step("factorize_layers", {"keep": 0.6}),)),
    Idea("separable convolutions", (Step("separate_convolutions", {"worst": 1.0}),)),
    Idea("half of the channels as ghosts", (Step("ghost_convolutions", {"worst": 1.0}),)),
    Idea("activations that int8 is quick with", (Step("swap_activations"),)),
    Idea("half of the weights zero", (Step("prune_weights", {"sparsity": 0.5}),), note="zeros anywhere"),
    Idea("nine tenths of the weights zero", (Step("prune_weights", {"sparsity": 0.9}),), note="zeros anywhere"),
    Idea("2 of 4 neighbours zero", (Step("prune_weights", {"pattern": "2:4"}),)),
    Idea("nine tenths zero, for flash", (Step("prune_weights", {"sparsity": 0.9}),), aims=SIZE),
    Idea("16 values a layer, for flash", (Step("cluster_weights", {"clusters": 16}),), aims=SIZE),
    Idea("weights in 4 bits", recipe="w4a8", aims=SIZE),
    Idea("weights in 3 bits", recipe="w3a8", aims=SIZE),
)
"""In the order in which they are told."""


@dataclass(frozen=True)
class Advice:
    """What came of an idea. ``verdict``: "pays", "does not pay", "unknown" or "does not apply".

    ``figures``: name → (before, after); ``step``: the recipe line that does it, ``why``: what the verdict rests on.
    """

    name: str
    verdict: str
    figures: dict[str, tuple[float, float]]
    why: str
    steps: tuple[str, ...]


def advise(
    graph: Graph, target: Target, *, data: Data | None = None, ideas: Sequence[Idea] = IDEAS, progress: Callable[[str], None] | None = None
) -> list[Advice]:
    """What each of ``ideas`` would gain on ``target``, the network quantized to int8 being what it is compared with.

    Nothing is trained, so accuracy is not told: only whether the target's kernels, or its compiler, are faster or smaller afterwards.
    ``data``: calibration samples; without them noise, which moves costs by as little as the ranges do. Float networks only.
    """
    if graph.level is not Level.FLOAT:
        raise UnsupportedError(f"{graph.name!r} is at the {graph.level.value} level", hint="give the float network: techniques start there")
    samples = data if data is not None else noise_samples(graph, NOISE_SAMPLES)
    before = _figures(graph, RECIPES["w8a8"], target, samples)
    found = []
    for idea in ideas:
        if progress is not None:
            progress(idea.name)
        found.append(_judged(idea, graph, target, samples, before))
    return found


def _judged(idea: Idea, graph: Graph, target: Target, data: Data, before: dict[str, float]) -> Advice:
    lines = tuple(_line(step) for step in idea.steps) or (f"recipe {idea.recipe}",)
    ctx = Context(data=data, target=target, costs=cost_functions(target))
    try:
        changed = run_recipe(graph, Recipe(idea.name, (*RECIPES["clean"].steps, *idea.steps)), ctx) if idea.steps else graph
        did = [line for line in ctx.lines if line.action == "did" and line.technique in {step.name for step in idea.steps}]
        if idea.steps and not did:
            skipped = next((line.detail for line in ctx.lines if line.technique == idea.steps[0].name), "there is nothing to change")
            return Advice(idea.name, "does not apply", {}, skipped, lines)
        after = _figures(changed, RECIPES[idea.recipe], target, data)
    except EdgewrightError as problem:
        return Advice(idea.name, "does not apply", {}, problem.message.splitlines()[0], lines)
    figures = {name: (before[name], after[name]) for name in before if name in after}
    aim = next((name for name in idea.aims if name in figures), None)
    if aim is None:
        return Advice(idea.name, "unknown", figures, f"nothing is known of {' or '.join(idea.aims[:2])} on {target.name}", lines)
    old, new = figures[aim]
    share = new / old if old else 1.0
    why = f"{_words(aim)} x{share:.2f}"
    if aim == "macs":
        return Advice(idea.name, "unknown", figures, f"{why}, but no model of this target's time: measure it", lines)
    why += f"; {idea.note}" if idea.note else ""
    return Advice(idea.name, "pays" if share < WORTH else "does not pay", figures, why, lines)


def _words(name: str) -> str:
    return name.replace("_", " ").replace("npu", "NPU").replace("macs", "multiply-accumulates")


def _line(step: Step) -> str:
    options = ", ".join(f"{key}={value}" for key, value in step.options.items())
    return f"{step.name}({options})"


def _figures(graph: Graph, recipe: Recipe, target: Target, data: Data) -> dict[str, float]:
    """What ``graph`` costs once ``recipe`` quantized it: whatever of it is known of ``target``."""
    quantized = run_recipe(graph, _without_rounding(recipe), Context(data=data, target=target))
    integer = integer_graph(quantized, target, Context(target=target))
    figures: dict[str, float] = {"macs": float(cost(graph).macs), "parameters": float(cost(graph).parameters)}
    if target.compiler is not None:
        report = run_vela(
            emit_tflite(integer),
            target.compiler.accelerator_config,
            system_config=target.compiler.system_config,
            memory_mode=target.compiler.memory_mode,
        )
        told = {"npu_cycles": report.cycles, "sram_bytes": report.sram_bytes, "flash_bytes": report.flash_bytes}
        return figures | {name: float(value) for name, value in told.items()}
    if target.qemu is None:
        return figures | {"file_bytes": float(sum(map(len, emit_tflite(integer).values())))}
    return figures | known_costs(integer, target)


def _without_rounding(recipe: Recipe) -> Recipe:
    """``recipe`` without what only chooses among integers: the costs are the same."""
    return Recipe(recipe.name, tuple(step for step in recipe.steps if step.name in PASSES and step.name != "round_weights"))
