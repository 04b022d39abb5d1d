"""Read this first: load → optimize → lower → emit → measure, each a few lines over the rooms that do the work."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.data import Data, load_data
from edgewright.emit.c import emit_c
from edgewright.emit.onnx import emit_onnx
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import ModelError, RecipeError, ToolError, UnsupportedError
from edgewright.frontends.onnx import load_onnx
from edgewright.frontends.tflite import load_tflite
from edgewright.frontends.torch import load_torch
from edgewright.ir.graph import Graph, Level
from edgewright.ir.serial import load_graph
from edgewright.lower.integer import lower_integer
from edgewright.lower.program import Program, make_program
from edgewright.ops.evaluate import quantize_inputs
from edgewright.passes import check_recipe
from edgewright.passes.registry import PASSES, Context, Line
from edgewright.recipe import RECIPES, Recipe, Step, load_recipe
from edgewright.run.host import run_host
from edgewright.run.qemu import run_qemu
from edgewright.run.run import Run
from edgewright.targets.target import Target, load_target

Progress = Callable[[str, int, int], None]
"""Called as progress(what, step, steps)."""
FORMATS = ("tflite", "onnx", "c")
MOST_ROUNDS = 20
"""A block of exact passes that still changes something after so many rounds is left as it is: every round's result is valid."""


@dataclass(frozen=True)
class Optimized:
    """What :func:`optimize` gives: the graph as it came, as it is now, the program where the target takes integers, and every line of the report."""

    source: Graph
    graph: Graph
    program: Program | None
    recipe: Recipe
    target: Target
    lines: tuple[Line, ...]
    data: Data | None = None
    test: Data | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def load(source: Any, example_inputs: Sequence[Any] | None = None) -> Graph:
    """A Graph from a path (.tflite, .onnx, .pt2, or .npz as saved by Edgewright), a torch module with ``example_inputs``, or an ExportedProgram.

    UnsupportedError lists everything that the network needs and Edgewright lacks, before any work is done.
    """
    if isinstance(source, Graph):
        return source
    if not isinstance(source, (str, Path)):
        return load_torch(source, example_inputs)
    path = Path(source)
    if not path.is_file():
        raise ModelError(f"there is no model at {path}", hint="give a .tflite, .onnx or .pt2 file")
    readers: dict[str, Callable[[Path], Graph]] = {".tflite": load_tflite, ".onnx": load_onnx, ".pt2": load_torch, ".npz": load_graph}
    if path.suffix.lower() not in readers:
        raise ModelError(f"{path.name}: unknown kind of model {path.suffix!r}", hint=f"known endings: {', '.join(readers)}")
    return readers[path.suffix.lower()](path)


def optimize(model: Any, *, target: str | Target = "host", recipe: str | Recipe = "w8a8", data: Any = None, test: Any = None, seed: int = 0,
             example_inputs: Sequence[Any] | None = None, progress: Progress | None = None) -> Optimized:
    """Run ``recipe`` over ``model`` and lower it for ``target``.

    ``data``: calibration samples, whatever :func:`edgewright.data.load_data` takes. ``test``: samples with labels, used for figures only.
    The program is None where the recipe leaves floats in the network (float16, dynamic range).
    """
    source = load(model, example_inputs)
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    board = target if isinstance(target, Target) else load_target(target)
    samples = None if data is None else load_data(data, source)
    ctx = Context(data=samples, target=board, seed=seed)
    graph = run_recipe(source, chosen, ctx, progress)
    program = None
    if graph.level is Level.INTEGER or _fully_quantized(graph):
        program = lower(graph, board, ctx)
    return Optimized(source, graph, program, chosen, board, tuple(ctx.lines), samples, None if test is None else load_data(test, source))


def run_recipe(graph: Graph, recipe: Recipe, ctx: Context, progress: Progress | None = None) -> Graph:
    """The steps of ``recipe`` in order; a block of repeated steps runs until it changes nothing."""
    check_recipe(recipe)
    done = 0
    for block in recipe.blocks():
        rounds = MOST_ROUNDS if block[0].repeat else 1
        for _ in range(rounds):
            before = graph
            for number, step in enumerate(block):
                if progress is not None:
                    progress(step.name, done + number, len(recipe.steps))
                graph = _run_step(graph, step, ctx)
            if graph is before:
                break
        done += len(block)
    return graph


def _run_step(graph: Graph, step: Step, ctx: Context) -> Graph:
    """One pass; one that does not take the level of an already quantized network is passed over, and the report says so once."""
    entry = PASSES[step.name]
    if entry.takes(graph.level):
        return entry.function(graph, ctx, **step.options)
    ctx.technique = step.name
    if graph.level is Level.FLOAT:
        raise RecipeError(f"pass {step.name!r} takes a {entry.level} graph, the network is at the float level", hint="quantize it before that step")
    why = f"the network is already at the {graph.level.value} level"
    if not any(line.technique == step.name and line.detail == why for line in ctx.lines):
        ctx.skipped(graph.name, why)
    return graph


def lower(graph: Graph, target: str | Target, ctx: Context | None = None) -> Program:
    """The integer program of a quantized or integer ``graph``, cleaned once more at the integer level, every byte of RAM placed."""
    board = target if isinstance(target, Target) else load_target(target)
    context = ctx or Context(target=board)
    clean = RECIPES["clean"]
    check_recipe(clean)
    steps = tuple(step for step in clean.steps if PASSES[step.name].takes(Level.INTEGER))
    return make_program(run_recipe(lower_integer(graph, board), Recipe("clean", steps), context), board)


def emit(result: Optimized | Program, formats: Iterable[str] = FORMATS, *, onnx_activations: str = "int8") -> dict[str, bytes]:
    """File name → contents, nothing written: ``NAME.tflite``, ``NAME.onnx``, ``c/NAME.c`` and its headers.

    UnsupportedError for C where the network still computes in float.
    """
    program = result if isinstance(result, Program) else result.program
    graph = program.graph if program is not None else result.graph  # type: ignore[union-attr]
    files: dict[str, bytes] = {}
    for name in formats:
        if name == "tflite":
            files |= emit_tflite(graph)
        elif name == "onnx":
            files |= emit_onnx(graph, activations=onnx_activations)
        elif name == "c":
            if program is None:
                raise UnsupportedError(f"{graph.name!r} still computes in float, which the C kernels do not", hint="use recipe w8a8, or leave C out of --formats")
            files |= {f"c/{file}": contents for file, contents in emit_c(program).items()}
        else:
            raise RecipeError(f"unknown format {name!r}", hint=f"one of {', '.join(FORMATS)}")
    return files


def measure(result: Optimized | Program, inputs: Data | Sequence[NDArray[np.generic]], *, target: str | Target | None = None) -> Run:
    """Build the C of a program and run it: on the host, or under QEMU as the target's core. ``inputs``: real samples, quantized here, or integers."""
    program = result if isinstance(result, Program) else result.program
    if program is None:
        raise UnsupportedError("only integer networks can be measured as C", hint="use recipe w8a8")
    board = program.target if target is None else target if isinstance(target, Target) else load_target(target)
    arrays = quantize_inputs(program.graph, inputs.inputs if isinstance(inputs, Data) else inputs)
    files = emit_c(program)
    outputs = [(program.graph.value(name).dtype.numpy, program.graph.value(name).shape[1:]) for name in program.graph.outputs]
    if board.qemu is None:
        return run_host(files, arrays, outputs=outputs)
    return run_qemu(files, arrays, board, outputs=outputs)


def write_files(files: Mapping[str, bytes], folder: str | Path) -> list[Path]:
    """Write ``files`` below ``folder``: everything is staged beside it first, so that a full disk or a kill leaves no half-written file in it."""
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise ToolError(f"cannot write to {folder}: {error.strerror}", hint="choose another folder with -o") from error
    written = []
    try:
        for name, contents in files.items():
            staged = stage / name
            staged.parent.mkdir(parents=True, exist_ok=True)
            staged.write_bytes(contents)
        for name in files:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(stage / name, place)
            written.append(place)
    except OSError as error:
        raise ToolError(f"cannot write to {folder}: {error.strerror}", hint="is the disk full, or the folder not yours?") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return written


def _fully_quantized(graph: Graph) -> bool:
    return graph.level is Level.QUANTIZED and all(value.quant is not None for value in graph.values.values())


