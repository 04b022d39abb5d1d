"""What a graph would cost on a target, told without compiling or running it."""

from __future__ import annotations

from collections.abc import Callable

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
from edgewright.targets.target import Target, load_target


def predict(result: Program | Graph, *, target: str | Target | None = None) -> Prediction:
    """What one inference costs, layer by layer, without compiling or running: instructions, cycles where the core has a model, energy.

    A Graph is lowered for ``target`` (default: host, whose cost nobody knows); one that computes in float is quantized first, with ranges
    from one sample of noise: kernels take the same time whatever the ranges, but for rare factors above 1/2.
    """
    program = _program(result, _target(target or "host")) if isinstance(result, Graph) else result
    if target is not None and _target(target) != program.target:
        program = fit_program(program.graph, _target(target))
    return predict_program(program)


def _program(graph: Graph, board: Target) -> Program:
    whole = graph if is_integer(graph) else _quantized_by_noise(graph, board)
    return fit_program(integer_graph(whole, board, Context(target=board)), board)


def _quantized_by_noise(graph: Graph, target: Target) -> Graph:
    noise = np.random.default_rng(0)
    shapes = [tuple(size or 1 for size in graph.value(name).shape) for name in graph.inputs]
    samples = Data(tuple(noise.normal(size=shape).astype(np.float32) for shape in shapes), source="noise")
    return run_recipe(graph, load_recipe("w8a8"), Context(data=samples, target=target))


def cost_functions(target: Target) -> dict[str, Callable[[Graph], float]]:
    """For the Context of passes, of a graph on ``target``; inf where they are unknown.

    "instructions" and "cycles" of one inference; "arena_bytes" of RAM; "flash_bytes" of weights, biases and tables as the C declares them.
    """

    def of(figure: str) -> Callable[[Graph], float]:
        def cost(graph: Graph) -> float:
            known = getattr(predict(graph, target=target).total, figure)
            return float("inf") if known is None else float(known)

        return cost

    def arena(graph: Graph) -> float:
        return float(_program(graph, target).plan.arena_bytes)

    def flash(graph: Graph) -> float:
        return float(sum(read_declared(emit_c(_program(graph, target))).constants.values()))

    return {**{figure: of(figure) for figure in ("instructions", "cycles")}, "arena_bytes": arena, "flash_bytes": flash}


def _target(target: str | Target) -> Target:
    return target if isinstance(target, Target) else load_target(target)
