"""What a graph would cost on a target, told without compiling or running it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edgewright.data import Data
from edgewright.emit.c import emit_c
from edgewright.emit.c.declared import read_declared
from edgewright.emit.c.predict import Prediction
from edgewright.emit.c.predict import predict as predict_program
from edgewright.ir.graph import Graph
from edgewright.lower.fit_program import fit_program
from edgewright.lower.program import Program
from edgewright.passes.registry import Context
from edgewright.recipe import load_recipe
from edgewright.steps import integer_graph, is_integer, run_recipe
from edgewright.targets.target import Target, as_target


def predict(result: Program | Graph, *, target: str | Target | None = None) -> Prediction:
    """What one inference costs, layer by layer, without compiling or running: instructions, cycles where the core has a model, energy.

    A Graph is lowered for ``target`` (default: host, whose cost nobody knows); one that computes in float is quantized first, with ranges
    from one sample of noise: kernels take the same time whatever the ranges, but for rare factors above 1/2.
    """
    program = _program(result, as_target(target or "host")) if isinstance(result, Graph) else result
    if target is not None and as_target(target) != program.target:
        program = fit_program(program.graph, as_target(target))
    return predict_program(program)


def _program(graph: Graph, board: Target) -> Program:
    whole = graph if is_integer(graph) else _quantized_by_noise(graph, board)
    return fit_program(integer_graph(whole, board, Context(target=board)), board)


def _quantized_by_noise(graph: Graph, target: Target) -> Graph:
    return run_recipe(graph, load_recipe("w8a8"), Context(data=noise_samples(graph, 1), target=target))


def noise_samples(graph: Graph, count: int) -> Data:
    """``count`` samples of noise: enough where shapes matter and values hardly do."""
    noise = np.random.default_rng(0)
    shapes = [(count * size, *rest) for size, *rest in (graph.value(name).sample_shape for name in graph.inputs)]
    return Data(tuple(noise.normal(size=shape).astype(np.float32) for shape in shapes), source="noise")


def _flash_bytes(program: Program) -> float:
    return float(sum(read_declared(emit_c(program)).constants.values()))


PRICES: Mapping[str, Callable[[Program], float | None]] = {
    "instructions": lambda program: predict_program(program).total.instructions,
    "cycles": lambda program: predict_program(program).total.cycles,
    "arena_bytes": lambda program: program.plan.arena_bytes,
    "flash_bytes": _flash_bytes,
}
"""What a program costs: "instructions" and "cycles" of one inference, "arena_bytes" of RAM; "flash_bytes" of weights, biases and tables as
the C declares them. None where it is unknown."""


def cost_functions(target: Target) -> dict[str, Callable[[Graph], float]]:
    """PRICES for the Context of passes, of a graph on ``target``; inf where they are unknown."""

    def of(price: Callable[[Program], float | None]) -> Callable[[Graph], float]:
        def cost(graph: Graph) -> float:
            known = price(_program(graph, target))
            return float("inf") if known is None else float(known)

        return cost

    return {name: of(price) for name, price in PRICES.items()}


def layer_cost_functions(target: Target) -> dict[str, Callable[[Graph], dict[str, float]]]:
    """"instructions" and "cycles" of each layer of a graph on ``target``, by the names of the nodes; empty where any is unknown."""

    def of(name: str) -> Callable[[Graph], dict[str, float]]:
        def costs(graph: Graph) -> dict[str, float]:
            found = {layer.name: getattr(layer.cost, name) for layer in predict_program(_program(graph, target)).layers}
            return {} if None in found.values() else {layer: float(cost) for layer, cost in found.items()}

        return costs

    return {name: of(name) for name in ("instructions", "cycles")}


def known_costs(graph: Graph, target: Target) -> dict[str, float]:
    """All of PRICES that is known of ``graph`` on ``target``."""
    program = _program(graph, target)
    found = {name: price(program) for name, price in PRICES.items()}
    return {name: float(cost) for name, cost in found.items() if cost is not None}
