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
from edgewright.passes import load_passes
from edgewright.passes.registry import PASSES, Context, Line
from edgewright.recipe import Recipe, load_recipe
from edgewright.run.host import run_host
from edgewright.run.qemu import run_qemu
from edgewright.run.run import Run
from edgewright.targets.target import Target, load_target

Progress = Callable[[str, int, int], None]
"""Called as progress(what, step, steps)."""
FORMATS = ("tflite", "onnx", "c")
INTEGER_CLEAN = ("fold_constants", "fold_activations", "fold_padding", "remove_identities", "remove_dead_channels", "share_constants")


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
    """The steps of ``recipe`` in order. A step that does not take the level at hand is reported as skipped where the graph is already quantized."""
    load_passes()
    check_recipe(recipe)
    for number, step in enumerate(recipe.steps):
        if progress is not None:
            progress(step.name, number, len(recipe.steps))
        entry = PASSES[step.name]
        if graph.level.value not in entry.level.split("|") and entry.level != "any" and graph.level is not Level.FLOAT:
            ctx.technique = step.name
            ctx.skipped(graph.name, f"the network is already at the {graph.level.value} level")
            continue
        graph = entry.function(graph, ctx, **step.options)
    return graph


def check_recipe(recipe: Recipe) -> None:
    """RecipeError where a step names no pass, or gives an option that its pass lacks."""
    load_passes()
    for step in recipe.steps:
        if step.name not in PASSES:
            raise RecipeError(f"recipe {recipe.name!r}: there is no pass {step.name!r}", hint=f"`edgewright passes` lists them: {', '.join(sorted(PASSES))}")
        unknown = sorted(set(step.options) - set(PASSES[step.name].parameters))
        if unknown:
            raise RecipeError(f"recipe {recipe.name!r}: pass {step.name!r} has no option {unknown[0]!r}",
                              hint=f"its options are {', '.join(PASSES[step.name].parameters) or 'none'}")


def lower(graph: Graph, target: str | Target, ctx: Context | None = None) -> Program:
    """The integer program of a quantized or integer ``graph``, cleaned once more at the integer level, every byte of RAM placed."""
    board = target if isinstance(target, Target) else load_target(target)
    context = ctx or Context(target=board)
    load_passes()
    integer = lower_integer(graph, board)
    for name in INTEGER_CLEAN:
        integer = PASSES[name].function(integer, context)
    return make_program(integer, board)


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


