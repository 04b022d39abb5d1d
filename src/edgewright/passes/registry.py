"""The one registry of passes, the decorator that fills it, and the Context that a pass is given."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgewright.data import Data
from edgewright.errors import ModelError, RecipeError
from edgewright.ir.graph import Graph, Level
from edgewright.ir.verify import verify
from edgewright.targets.target import Target


@dataclass(frozen=True)
class Line:
    """One line of the report: what a pass did, or skipped and why."""

    technique: str
    action: str
    where: str
    detail: str


@dataclass
class Context:
    """What passes are given beside the graph: data, target, seed, cost functions from further right; and where they say what they did.

    ``costs``: of a whole graph; ``layer_costs``: layer → cost, for those that come layer by layer.
    ``teacher``: the network as it came, which repairs imitate. ``say``: told what a pass that takes long is at. ``checkpoints``: a folder
    in which training keeps its state, so that a run that was killed goes on from there.
    """

    data: Data | None = None
    target: Target | None = None
    seed: int = 0
    teacher: Graph | None = None
    costs: dict[str, Callable[[Graph], float]] = field(default_factory=dict)
    layer_costs: dict[str, Callable[[Graph], dict[str, float]]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    technique: str = ""
    say: Callable[[str], None] | None = None
    checkpoints: Path | None = None

    def did(self, where: str, detail: str) -> None:
        """Report a change at ``where`` (a node or value name)."""
        self.lines.append(Line(self.technique, "did", where, detail))

    def skipped(self, where: str, why: str) -> None:
        """Report what was left alone although it was asked for, and why; once, however often a repeated pass comes by."""
        line = Line(self.technique, "skipped", where, why)
        if line not in self.lines:
            self.lines.append(line)

    def calibration(self) -> Data:
        """The user's data; RecipeError where a pass needs it and none was given."""
        if self.data is None or self.data.count == 0:
            raise no_data(self.technique)
        return self.data


def no_data(technique: str) -> RecipeError:
    """The error of a technique that was given no calibration data."""
    return RecipeError(
        f"{technique} needs calibration data and got none",
        hint="give --data: a .npy or .npz file, a folder of images or of wav files, or module:function",
    )


class PassFunction(Protocol):
    """A registered pass as it is called; only its own options are taken."""

    __name__: str

    def __call__(self, graph: Graph, ctx: Context, /, **options: Any) -> Graph: ...


@dataclass(frozen=True)
class Pass:
    """A registered technique. ``parameters`` are its keyword options, read from the signature: they are its schema everywhere.

    ``needs_data``: it cannot run without calibration data. ``makes_integers``: what it gives has an integer form, activations included.
    """

    name: str
    group: str
    level: str
    exact: bool
    function: PassFunction
    summary: str
    parameters: dict[str, inspect.Parameter]
    needs_data: bool = False
    makes_integers: bool = False

    def takes(self, level: Level) -> bool:
        """Whether the pass accepts a graph of ``level``."""
        return self.level == "any" or level.value in self.level.split("|")


PASSES: dict[str, Pass] = {}


def graph_pass(
    *, level: str, exact: bool, needs_data: bool = False, makes_integers: bool = False
) -> Callable[[Callable[..., Graph]], Callable[..., Graph]]:
    """Register ``function(graph, ctx, *, options)`` under its own name.

    ``level``: the levels of graph that it takes ("float", "float|integer", "any"). ``exact``: float outputs unchanged up to rounding of
    float32 sums; integer outputs to the byte. ``needs_data``: it calls ``ctx.calibration()``; a recipe without data fails before any work.
    ``makes_integers``: it puts every value on a grid; what a wanted format lacks integer kernels for is looked for before it.
    """

    def register(function: Callable[..., Graph]) -> Callable[..., Graph]:
        signature = inspect.signature(function, eval_str=True)
        options = {name: parameter for name, parameter in signature.parameters.items() if parameter.kind is inspect.Parameter.KEYWORD_ONLY}

        @functools.wraps(function)
        def run(graph: Graph, ctx: Context, /, **chosen: Any) -> Graph:
            unknown = sorted(set(chosen) - set(options))
            if unknown:
                raise RecipeError(
                    f"pass {function.__name__!r} has no option {unknown[0]!r}", hint=f"its options are {', '.join(options) or 'none'}"
                )
            if not PASSES[function.__name__].takes(graph.level):
                raise ModelError(
                    f"pass {function.__name__!r} takes a {level} graph, got a {graph.level.value} one",
                    hint="change the order of the recipe",
                )
            outer, ctx.technique = ctx.technique, function.__name__
            try:
                result = function(graph, ctx, **chosen)
            finally:
                ctx.technique = outer
            return result if result is graph else verify(result)

        summary = (inspect.getdoc(function) or "").strip().splitlines()[:1]
        PASSES[function.__name__] = Pass(
            function.__name__, function.__module__.split(".")[-2], level, exact, run, "".join(summary), options, needs_data, makes_integers
        )
        return run

    return register
