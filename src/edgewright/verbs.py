"""What the command line's verbs do: the pipeline, with progress, files and a report around it. Each gives data for --json, and text."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edgewright import pipeline
from edgewright.data import Data, load_data
from edgewright.emit.tflite import emit_tflite
from edgewright.emit.onnx import emit_onnx
from edgewright.errors import RecipeError, ToolError, UnsupportedError
from edgewright.ir.graph import Graph, Level
from edgewright.ir.show import show_graph
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs
from edgewright.passes import load_passes
from edgewright.passes.registry import PASSES
from edgewright.recipe import RECIPES
from edgewright.report.accuracy import compare
from edgewright.report.page import changes, headline, to_html
from edgewright.report.report import Report, make_report
from edgewright.run.litert import run_litert
from edgewright.run.onnxruntime import run_onnxruntime
from edgewright.run.run import Run
from edgewright.run.tflm import run_tflm
from edgewright.run.toolchain import check_tools
from edgewright.targets.target import list_targets, load_target

MEASURED_SAMPLES = 2
RUNTIMES = ("evaluate", "host", "qemu", "litert", "xnnpack", "tflm", "onnxruntime")


@dataclass(frozen=True)
class Result:
    """``data``: what --json prints. ``text``: the same for people."""

    data: Any
    text: str


def show(model: str) -> Result:
    graph = pipeline.load(model)
    total = cost(graph)
    data = {"name": graph.name, "level": graph.level.value, "macs": total.macs, "parameters": total.parameters, "weight_bytes": total.weight_bytes,
            "nodes": [asdict(row) for row in total.nodes]}
    text = show_graph(graph) + f"  total  {total.macs:,} multiply-accumulates, {total.parameters:,} parameters, {total.weight_bytes:,} weight bytes"
    return Result(data, text)


def optimize(model: str, *, target: str, data: str | None, test: str | None, recipe: str, out: Path, formats: str, onnx_activations: str, seed: int,
             run: bool) -> Result:
    """Everything is computed before anything is written."""
    wanted = _formats(formats)
    with _progress() as bar:
        task = bar.add_task("load", total=None)

        def step(what: str, number: int, count: int) -> None:
            bar.update(task, description=what, completed=number, total=count + 3)

        result = pipeline.optimize(model, target=target, recipe=recipe, data=data, test=test, seed=seed, progress=step)
        count = len(result.recipe.steps)
        final = result.program.graph if result.program is not None else result.graph
        step("emit", count, count)
        files = pipeline.emit(result, wanted if result.program is not None else [name for name in wanted if name != "c"], onnx_activations=onnx_activations)
        step("evaluate", count + 1, count)
        judged = result.test or result.data
        accuracy = compare(result.source, final, judged) if judged is not None and judged.count else None
        step("measure", count + 2, count)
        measured, equal = _measure(result, judged) if run and "c" in wanted and result.program is not None and judged is not None else (None, None)
        report = make_report(result.source, final, recipe=result.recipe.name, target=result.target, lines=result.lines, program=result.program,
                             accuracy=accuracy, files=files, run=measured, equal=equal)
        step("done", count + 3, count)
    files["report.json"] = (report.model_dump_json(indent=2) + "\n").encode()
    files["report.html"] = to_html(report).encode()
    pipeline.write_files(files, out)
    return Result(report.model_dump(mode="json"), _report_text(report, out))


def emit(model: str, *, target: str, out: Path, formats: str, onnx_activations: str) -> Result:
    graph = pipeline.load(model)
    files: dict[str, bytes] = {}
    for name in _formats(formats):
        if name == "c":
            files |= pipeline.emit(pipeline.lower(graph, target), ["c"])
        else:
            files |= emit_tflite(graph) if name == "tflite" else emit_onnx(graph, activations=onnx_activations)
    written = pipeline.write_files(files, out)
    return Result({"files": {name: len(contents) for name, contents in files.items()}}, "\n".join(str(path) for path in written))


def run(model: str, *, data: str, runtime: str, target: str, out: Path | None) -> Result:
    graph = pipeline.load(model)
    samples = load_data(data, graph)
    outputs = _run_in(graph, samples, runtime, target)
    figures: dict[str, Any] = {"runtime": runtime, "samples": samples.count, "outputs": {name: list(array.shape) for name, array in zip(graph.outputs, outputs, strict=True)}}
    if samples.labels is not None and outputs[0].ndim == 2:
        figures["accuracy"] = float(np.mean(outputs[0].argmax(axis=1) == samples.labels))
    if out is not None:
        stream = BytesIO()
        np.savez(stream, **{name: array for name, array in zip(graph.outputs, outputs, strict=True)})  # type: ignore[arg-type]
        pipeline.write_files({out.name: stream.getvalue()}, out.parent)
    lines = [f"{samples.count} samples in {runtime}", *(f"  {name}: {array.dtype} {list(array.shape)}" for name, array in zip(graph.outputs, outputs, strict=True))]
    if "accuracy" in figures:
        lines.append(f"  accuracy {100 * figures['accuracy']:.2f} %")
    return Result(figures, "\n".join(lines))


def measure(model: str, *, target: str, data: str | None, samples: int) -> Result:
    if samples < 1:
        raise RecipeError(f"--samples must be at least 1, got {samples}")
    graph = pipeline.load(model)
    board = load_target(target)
    program = pipeline.lower(graph, board)
    inputs = load_data(data, graph).take(slice(0, samples)).inputs if data is not None else _random_inputs(program.graph, samples)
    integers = quantize_inputs(program.graph, inputs) if data is not None else list(inputs)
    result = pipeline.measure(program, integers)
    equal = _same(evaluate(program.graph, integers), result)
    report = make_report(graph, program.graph, recipe="none", target=board, lines=(), program=program, run=result, equal=equal)
    return Result(report.model_dump(mode="json"), _render(_headline_table(report), _layer_table(report)))


def passes() -> Result:
    load_passes()
    rows = {entry.name: {"group": entry.group, "level": entry.level, "exact": entry.exact, "summary": entry.summary,
                         "options": {name: None if parameter.default is inspect.Parameter.empty else parameter.default for name, parameter in entry.parameters.items()}}
            for entry in sorted(PASSES.values(), key=lambda entry: (entry.group, entry.name))}
    table = Table("pass", "group", "level", "exact", "options", "what it does", box=None, header_style="bold")
    for name, row in rows.items():
        options = ", ".join(f"{key}={value}" for key, value in row["options"].items())  # type: ignore[attr-defined]
        table.add_row(name, str(row["group"]), str(row["level"]), "yes" if row["exact"] else "no", options, str(row["summary"]))
    recipes = {name: [step.name for step in recipe.steps] for name, recipe in RECIPES.items()}
    listing = Table("recipe", "steps", box=None, header_style="bold")
    for name, steps in recipes.items():
        listing.add_row(name, ", ".join(steps))
    return Result({"passes": rows, "recipes": recipes}, _render(table, listing))


def targets() -> Result:
    found = [load_target(name) for name in list_targets()]
    table = Table("target", "what", "flash", "RAM", "kernels", box=None, header_style="bold")
    for target in found:
        table.add_row(target.name, target.title, _bytes(target.flash_bytes), _bytes(target.ram_bytes), ", ".join(target.kernels))
    return Result([target.model_dump(mode="json") for target in found], _render(table))


def doctor() -> Result:
    tools = check_tools()
    table = Table("tool", "found", "needed for", "how to get it", box=None, header_style="bold")
    for tool in tools:
        table.add_row(tool.name, tool.version or "missing", tool.purpose, "" if tool.version else tool.remedy)
    return Result([asdict(tool) for tool in tools], _render(table))


def _formats(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in pipeline.FORMATS:
            raise RecipeError(f"unknown format {name!r}", hint=f"one or more of {', '.join(pipeline.FORMATS)}, separated by commas")
    return names


def _measure(result: pipeline.Optimized, judged: Data) -> tuple[Run | None, bool | None]:
    """Run a few samples; without the tools for it the report says so instead."""
    assert result.program is not None
    few = judged.take(slice(0, MEASURED_SAMPLES))
    try:
        run = pipeline.measure(result, few)
    except ToolError as error:
        Console(stderr=True).print(f"not measured: {error.message}", f"hint: {error.hint}", sep="\n")
        return None, None
    graph = result.program.graph
    return run, _same(evaluate(graph, quantize_inputs(graph, few.inputs)), run)


def _same(expected: list[NDArray[np.generic]], run: Run) -> bool:
    return all(np.array_equal(mine, theirs.reshape(mine.shape)) for mine, theirs in zip(expected, run.outputs, strict=True))


def _random_inputs(graph: Graph, samples: int) -> list[NDArray[np.generic]]:
    """Instruction counts hardly depend on the numbers; without data, uniformly random integers stand in (seed 0)."""
    random = np.random.default_rng(0)
    arrays: list[NDArray[np.generic]] = []
    for name in graph.inputs:
        value = graph.value(name)
        shape = (samples, *(size or 1 for size in value.shape[1:]))
        if value.dtype.is_integer:
            arrays.append(random.integers(value.dtype.minimum, value.dtype.maximum + 1, shape).astype(value.dtype.numpy))
        else:
            arrays.append(random.standard_normal(shape).astype(np.float32))
    return arrays


def _run_in(graph: Graph, samples: Data, runtime: str, target: str) -> list[NDArray[np.float32]]:
    """Real outputs of ``graph`` in ``runtime``."""
    if runtime not in RUNTIMES:
        raise RecipeError(f"unknown runtime {runtime!r}", hint=f"one of {', '.join(RUNTIMES)}")
    integer = graph.level is Level.INTEGER
    inputs = quantize_inputs(graph, samples.inputs) if integer else list(samples.inputs)
    if runtime == "evaluate":
        outputs = evaluate(graph, inputs)
    elif runtime in ("host", "qemu"):
        if not integer:
            raise UnsupportedError(f"{graph.name!r} computes in float, which the C kernels do not", hint="optimize it with recipe w8a8 first")
        board = load_target("host" if runtime == "host" else target)
        outputs = pipeline.measure(pipeline.lower(graph, board), inputs).outputs
    elif runtime == "onnxruntime":
        outputs = run_onnxruntime(emit_onnx(graph), inputs).outputs
    elif runtime == "tflm":
        outputs = run_tflm(emit_tflite(graph), inputs).outputs
    else:
        outputs = run_litert(emit_tflite(graph), inputs, kernels="reference" if runtime == "litert" else "xnnpack").outputs
    return dequantize_outputs(graph, outputs) if integer else [np.asarray(array, np.float32) for array in outputs]


def _progress() -> Progress:
    return Progress(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
                    console=Console(stderr=True), transient=True)


def _report_text(report: Report, out: Path) -> str:
    counts = Table("", "before", "after", box=None, header_style="bold")
    for label, before, after in changes(report):
        counts.add_row(label, before, after)
    skipped = [entry for entry in report.entries if entry.action == "skipped"]
    notes = Table("skipped by", "where", "why", box=None, header_style="bold")
    for entry in skipped:
        notes.add_row(entry.technique, entry.where, entry.detail)
    written = Table("file", "bytes", box=None, header_style="bold")
    for name, size in report.files.items():
        written.add_row(str(out / name), f"{size:,}")
    return _render(_headline_table(report), counts, _layer_table(report), *([notes] if skipped else []), written) + f"\nreport: {out / 'report.html'}"


def _headline_table(report: Report) -> Table:
    table = Table("", "", box=None, show_header=False)
    table.add_row("network", f"{report.name}, recipe {report.recipe}, target {report.target}")
    for label, value in headline(report):
        table.add_row(label, value)
    if report.memory is not None:
        table.add_row("arena's lower bound", f"{report.memory.lower_bound_bytes:,} B ({report.memory.strategy})")
    return table


def _layer_table(report: Report) -> Table:
    counted = any(layer.instructions is not None for layer in report.layers)
    table = Table("layer", "operator", "output", "MACs", "weight bytes", *(["instructions"] if counted else []), box=None, header_style="bold")
    for layer in report.layers:
        table.add_row(layer.name, layer.kind, layer.shape, f"{layer.macs:,}", f"{layer.weight_bytes:,}", *([f"{layer.instructions or 0:,}"] if counted else []))
    return table


def _render(*tables: Table) -> str:
    console = Console(width=None if Console().is_terminal else 160, no_color=not Console().is_terminal)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
            console.print()
    return capture.get().rstrip()


def _bytes(count: int | None) -> str:
    return "" if count is None else f"{count:,}"

