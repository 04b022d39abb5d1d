"""Read this first: load → optimize → lower → emit → measure, each a few lines over the rooms that do the work."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright import costs
from edgewright.costs import cost_functions as cost_functions
from edgewright.data import Data, load_data
from edgewright.emit.c import emit_c
from edgewright.emit.c.predict import Prediction
from edgewright.emit.onnx import emit_onnx
from edgewright.emit.tflite import EXPANDABLE, FORMS, audit_tflite, emit_tflite
from edgewright.errors import BudgetError, ModelError, RecipeError, ToolError, UnsupportedError
from edgewright.files import write_files as write_files
from edgewright.frontends.onnx import load_onnx
from edgewright.frontends.tflite import load_tflite
from edgewright.frontends.torch import load_torch
from edgewright.ir.graph import Graph, Level
from edgewright.ir.serial import load_graph
from edgewright.lower.fit_program import fit_program
from edgewright.lower.program import Program
from edgewright.lower.widen import narrow_constants
from edgewright.ops.evaluate import check_inputs, quantize_inputs
from edgewright.passes import check_recipe
from edgewright.passes.registry import PASSES, Context, Line, no_data
from edgewright.passes.synthesize import samples_for
from edgewright.recipe import Recipe, Step, load_recipe
from edgewright.report.ledger import Ledger, check_ledger, make_ledger
from edgewright.run.device import run_device
from edgewright.run.footprint import Footprint, predict_footprint
from edgewright.run.host import run_host
from edgewright.run.run import Run
from edgewright.run.vela import VelaReport, run_vela
from edgewright.steps import Progress as Progress
from edgewright.steps import integer_graph, is_integer
from edgewright.steps import run_recipe as run_recipe
from edgewright.targets.stored import stored
from edgewright.targets.target import Target, as_target
from edgewright.train import loop
from edgewright.train.loop import History
from edgewright.train.module import from_module as from_module
from edgewright.train.module import to_module as to_module

FORMATS = ("tflite", "onnx", "c")
ONNX_ACTIVATIONS = ("int8", "uint8", "exact")
TFLITE_WEIGHTS = tuple(FORMS)
MOST_FITS = 4
"""Programs that are tried for a budget of all RAM: the stack that a tiled one needs is known only when it is there."""
@dataclass(frozen=True)
class Optimized:
    """What :func:`optimize` gives: the graph as it came, as it is now, and every line of the report.

    Where the recipe leaves no floats in the network, ``graph`` is at the integer level, and ``program`` is what the target runs; else None,
    as where activations are narrower than C has them.
    """

    source: Graph
    graph: Graph
    program: Program | None
    recipe: Recipe
    target: Target
    lines: tuple[Line, ...]
    data: Data | None = None
    test: Data | None = None


def load(source: Any, example_inputs: Sequence[Any] | None = None) -> Graph:
    """A Graph from a path (.tflite, .onnx, .pt2, or .npz as saved by Edgewright), a torch module or an ExportedProgram.

    ``example_inputs``: the tensors that a torch module is called with.
    UnsupportedError lists everything that the network needs and Edgewright lacks, before any work is done.
    """
    if isinstance(source, Graph):
        return source
    if not isinstance(source, (str, os.PathLike)):
        return load_torch(source, example_inputs)
    path = Path(source)
    readers: dict[str, Callable[[Path], Graph]] = {".tflite": load_tflite, ".onnx": load_onnx, ".pt2": load_torch, ".npz": load_graph}
    endings = f"known endings: {', '.join(readers)}"
    if path.is_dir():
        raise ModelError(f"{path} is a folder, not a model", hint=f"give a file; {endings}")
    if not path.exists():
        raise ModelError(f"there is no model at {path}", hint=f"check the path; {endings}")
    if path.suffix.lower() not in readers:
        raise ModelError(f"{path.name}: unknown kind of model {path.suffix!r}", hint=endings)
    try:
        return readers[path.suffix.lower()](path)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}", hint="check the file and its permissions") from error


def optimize(
    model: Any,
    *,
    target: str | Target = "host",
    recipe: str | Recipe = "w8a8",
    data: Any = None,
    test: Any = None,
    seed: int = 0,
    formats: Iterable[str] | None = None,
    example_inputs: Sequence[Any] | None = None,
    progress: Progress | None = None,
    ram_budget: int | None = None,
) -> Optimized:
    """Run ``recipe`` over ``model`` and lower it for ``target``.

    ``formats``: those that it will be written in. Without .tflite among them, operators that this format lacks stay as they are; with it,
    what it cannot express is refused before calibration. None: all that can express the network, which is shaped for .tflite.
    ``data``: calibration samples, whatever :func:`edgewright.data.load_data` takes, or "synthesized": made from the network's batch norms.
    ``test``: samples with labels, used for figures only.
    ``ram_budget``: most bytes of the arena; where it, or the target's RAM, is exceeded, layers are tiled.
    The program is None where the recipe leaves floats in the network (float16, dynamic range), and where C has no kernel for the width of
    its activations (int4) and ``formats`` does not ask for it. All that can be refused is refused first.
    """
    board = as_target(target)
    wanted = None if formats is None else check_formats(formats)
    chosen = check_recipe(recipe if isinstance(recipe, Recipe) else load_recipe(recipe))
    source = load(model, example_inputs)
    if data is None:
        _check_needs(chosen, source)
    samples = None if data is None else samples_for(source, data, seed)
    judges = None if test is None else load_data(test, source)
    by_layer = costs.layer_cost_functions(board)
    ctx = Context(data=samples, target=board, seed=seed, teacher=source, costs=cost_functions(board), layer_costs=by_layer)
    if wanted is None or "tflite" in wanted:
        chosen = _expanding(chosen, source, ctx)
    graph = run_recipe(source, chosen, ctx, progress, audit_tflite if wanted is not None and "tflite" in wanted else None)
    program = None
    if is_integer(graph):
        graph = integer_graph(graph, board, ctx)
        program = None if wanted is None and narrow_activations(graph) else fit_program(graph, board, ram_budget)
        ctx.lines += [] if program is None else memory_lines(program, board)
        if program is not None and (wanted is None or "c" in wanted) and (narrow := narrow_constants(graph)):
            packed = {node.inputs[1] for node in program.graph.nodes if stored(program.graph, node, board.kernels) is not None}
            if left := [value for value in narrow if value.name not in packed]:
                why = f"{len(left)} constants take a byte a number in C, whose kernels read bytes; files keep {left[0].dtype.value}"
                ctx.lines.append(Line("c", "skipped", graph.name, why))
    return Optimized(source, graph, program, chosen, board, tuple(ctx.lines), samples, judges)


def narrow_activations(graph: Graph) -> list[str]:
    """What integer ``graph`` computes in fewer than eight bits, which only evaluation has."""
    return [name for name, value in graph.values.items() if name not in graph.constants and value.dtype.bits < 8]


@functools.wraps(loop.train)
def train(module: Any, data: Any, *, teacher: Any = None, **options: Any) -> History:
    """As the training loop has it; a teacher may also be the path of a model."""
    return loop.train(module, data, teacher=load(teacher) if isinstance(teacher, (str, os.PathLike)) else teacher, **options)


def _check_needs(recipe: Recipe, graph: Graph) -> None:
    """RecipeError where a step will ask for data and there are none."""
    for step in recipe.steps:
        if PASSES[step.name].needs_data and PASSES[step.name].takes(graph.level):
            raise no_data(step.name)


def _expanding(recipe: Recipe, graph: Graph, ctx: Context) -> Recipe:
    """``recipe`` with expand_activations, where it makes integers and ``graph`` has an activation that .tflite lacks at int8.

    That stands before the clean-up, which merges what comes of it with the layers around; but after what gives a float graph.
    """
    found = sorted({node.op.kind for node in graph.nodes} & EXPANDABLE)
    steps = [PASSES[step.name] for step in recipe.steps]
    if not found or is_integer(graph) or "expand_activations" in [entry.name for entry in steps]:
        return recipe
    if not any(entry.makes_integers for entry in steps):
        return recipe
    place = next(index for index, entry in enumerate(steps) if entry.makes_integers or not entry.takes(Level.QUANTIZED))
    kinds = " and ".join(found)
    why = f"added to the recipe for .tflite, which has no int8 kernel for {kinds}; C is faster without, so leave .tflite out if C is all"
    ctx.lines.append(Line("expand_activations", "did", graph.name, why))
    return dataclasses.replace(recipe, steps=(*recipe.steps[:place], Step("expand_activations"), *recipe.steps[place:]))


def lower(graph: Graph, target: str | Target) -> Program:
    """The integer program of a quantized or integer ``graph`` for ``target``, every byte of RAM placed."""
    board = as_target(target)
    return fit_program(integer_graph(graph, board, Context(target=board)), board)


def memory_lines(program: Program, asked: Target) -> list[Line]:
    """What the report says of what was done for a budget of RAM: slower kernels that need less, and tiled layers with their cost."""
    lines = []
    if program.target.kernels != asked.kernels:
        folders = ", ".join(program.target.kernels)
        lines.append(Line("fit_program", "did", program.graph.name, f"kernels {folders}, which need less working memory and more time"))
    if program.frugal:
        names = ", ".join(sorted(program.frugal))
        lines.append(Line("fit_program", "did", program.graph.name, f"slower kernels without working memory for {names}"))
    if program.executed is program.graph:
        return lines
    lines += [Line("tile_layers", "did", f"{loop.covers[0]} … {loop.covers[-1]}", loop.summary()) for loop in program.loops]
    plain = sum(node.op.macs(program.graph.ins(node), program.graph.outs(node)) for node in program.graph.nodes)
    cost = f"{program.macs() / plain - 1:+.1%} multiply-accumulates" if plain else "no multiply-accumulates"
    return [*lines, Line("tile_layers", "did", program.graph.name, f"an arena of {program.plan.arena_bytes:,} bytes, {cost}")]


def emit(
    result: Optimized | Program | Graph, formats: Iterable[str] = FORMATS, *, target: str | Target = "host", onnx_activations: str = "int8",
    tflite_weights: str = "plain",
) -> dict[str, bytes]:
    """File name → contents, nothing written: ``NAME.tflite``, ``NAME.onnx``, ``c/NAME.c`` and its headers.

    ``tflite_weights``: one of TFLITE_WEIGHTS, as :func:`emit_tflite` has them. A Graph is written as it is; for C it is lowered for
    ``target`` first. UnsupportedError for C where the network still computes in float.
    """
    wanted = check_formats(formats, onnx_activations, tflite_weights)
    graph = result if isinstance(result, Graph) else result.graph
    program = result if isinstance(result, Program) else result.program if isinstance(result, Optimized) else None
    if "c" in wanted and program is None:
        if not is_integer(graph):
            hint = "use recipe w8a8, or leave C out of the formats"
            raise UnsupportedError(f"{graph.name!r} still computes in float, which the C kernels do not", hint=hint)
        program = lower(graph, target)
    files: dict[str, bytes] = {}
    if "tflite" in wanted:
        files |= emit_tflite(graph, weights=tflite_weights)
    if "onnx" in wanted:
        files |= emit_onnx(graph, activations=onnx_activations)
    if program is not None and "c" in wanted:
        files |= {f"c/{file}": contents for file, contents in emit_c(program).items()}
    return files


def check_formats(formats: Iterable[str], onnx_activations: str = "int8", tflite_weights: str = "plain") -> tuple[str, ...]:
    """``formats``, each once; RecipeError where one, or how it is to be written, is unknown, or there is none."""
    wanted = tuple(dict.fromkeys(formats))
    for name in wanted:
        if name not in FORMATS:
            raise RecipeError(f"unknown format {name!r}", hint=f"one or more of {', '.join(FORMATS)}")
    if not wanted:
        raise RecipeError("no format to write", hint=f"one or more of {', '.join(FORMATS)}")
    if onnx_activations not in ONNX_ACTIVATIONS:
        raise RecipeError(f"unknown type {onnx_activations!r} of activations in ONNX", hint=f"one of {', '.join(ONNX_ACTIVATIONS)}")
    if tflite_weights not in TFLITE_WEIGHTS:
        raise RecipeError(f"unknown storage {tflite_weights!r} of weights in .tflite", hint=f"one of {', '.join(TFLITE_WEIGHTS)}")
    return wanted


def measure(
    result: Optimized | Program, inputs: Data | Sequence[NDArray[np.generic]], *, target: str | Target | None = None, **options: Any
) -> Run:
    """Build the C of a program and run it: on this computer, or on the emulated core of its target.

    What does not fit is refused before anything runs: BudgetError says by how much, and what takes it.
    ``inputs``: :class:`Data` (real samples, quantized here), or arrays of the program's own element types, one an input. The samples of a
    network with states are one stream. ``target``: another one, for which the program is planned anew. ``options``: those of the runner.
    """
    program = result if isinstance(result, Program) else result.program
    if program is None:
        raise UnsupportedError("only integer networks can be measured as C", hint="use recipe w8a8")
    if target is not None and as_target(target) != program.target:
        program = fit_program(program.graph, as_target(target))
    board, graph = program.target, program.graph
    if "c" not in board.runtimes:
        raise UnsupportedError(f"{board.name} runs no C", hint=f"it takes the emitted .tflite ({', '.join(board.runtimes)})")
    arrays = check_inputs(graph, quantize_inputs(graph, inputs.inputs) if isinstance(inputs, Data) else inputs)
    # Runners take integers and look only at bytes; a network may have float edges.
    raw = [array.view(np.int32) if array.dtype == np.float32 else array for array in map(np.ascontiguousarray, arrays)]
    outputs = [(graph.value(name).dtype.numpy, tuple(size or 1 for size in graph.value(name).shape[1:])) for name in graph.outputs]
    common = {"outputs": outputs, "layer_names": [node.name for node in program.executed.nodes], "reset_state": False, **options}
    files = emit_c(program)
    if board.qemu is None:
        return run_host(files, raw, target=board, **common)
    footprint = _footprint(files, board, {key: common[key] for key in ("toolchain", "flags") if key in common})
    check_ledger(make_ledger(program, files, footprint=footprint, stack_kept_bytes=common.get("stack_bytes")))
    return dataclasses.replace(run_device(files, raw, board, **common), footprint=footprint)


def _footprint(files: Mapping[str, bytes], target: Target, options: Mapping[str, Any]) -> Footprint | None:
    """None where there is no compiler for ``target``; what a compiler refuses, the build tells."""
    try:
        return None if target.qemu is None else predict_footprint(files, target, **options)
    except ToolError:
        return None


def ledger(program: Program, run: Run | None = None) -> Ledger:
    """What ``program`` takes of each memory of its target: predicted now, or as before ``run``, whose findings stand beside it.

    Code and stack are unknown where there is no compiler for the target, and in a run of this computer's.
    """
    files = emit_c(program)
    footprint = _footprint(files, program.target, {}) if run is None else run.footprint
    return make_ledger(program, files, footprint=footprint, run=run)


def within_ram(result: Optimized, ram_bytes: int) -> Optimized:
    """``result`` with kernels and tiles for which arena, variables and stack together take at most ``ram_bytes``, as predicted.

    Where that cannot be reached, the last that could be made, and a line that says why; the arena alone counts where no compiler tells
    the stack.
    """
    if (program := result.program) is None:
        return result
    told = [line for line in result.lines if line.technique not in ("fit_program", "tile_layers")]
    for _ in range(MOST_FITS):
        used = ram_needed(program)
        if used <= ram_bytes:
            break
        room = program.plan.arena_bytes - (used - ram_bytes)
        if room <= 0:
            why = f"{used:,} bytes of RAM are needed, {used - program.plan.arena_bytes:,} of them beside the arena"
            told.append(Line("fit_program", "skipped", result.graph.name, why))
            break
        try:
            program = fit_program(result.graph, result.target, room)
        except BudgetError as error:
            told.append(Line("fit_program", "skipped", result.graph.name, error.message))
            break
    return dataclasses.replace(result, program=program, lines=(*told, *memory_lines(program, result.target)))


def ram_needed(program: Program) -> int:
    """Bytes of all of the target's RAM that ``program`` takes, as predicted: of the arena alone where nothing more is known."""
    known = ledger(program).predicted_bytes(*program.target.memories("ram"))
    return program.plan.arena_bytes if known is None else known


def check_fits(program: Program) -> None:
    """BudgetError where ``program`` exceeds a memory of its target, everything counted that can be known before the build."""
    check_ledger(ledger(program))


def predict(result: Optimized | Program | Graph, *, target: str | Target | None = None) -> Prediction:
    """What one inference costs, layer by layer: see :func:`edgewright.costs.predict`."""
    found = result.program if isinstance(result, Optimized) else result
    if found is None:
        raise UnsupportedError("only integer networks can be predicted", hint="use recipe w8a8")
    return costs.predict(found, target=target)


def compile_npu(result: Optimized | Graph, target: str | Target) -> VelaReport:
    """Compile the .tflite of an integer network for the accelerator ``target``, and tell what that would cost there.

    ToolError where its compiler is missing or refuses.
    """
    board = as_target(target)
    if board.compiler is None:
        raise UnsupportedError(f"{board.name} has no compiler for .tflite", hint="choose an accelerator: `edgewright targets`")
    graph = result if isinstance(result, Graph) else result.graph
    compiler = board.compiler
    files = emit_tflite(graph)
    return run_vela(files, compiler.accelerator_config, system_config=compiler.system_config, memory_mode=compiler.memory_mode)
