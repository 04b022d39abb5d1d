"""`edgewright optimize`: the whole road, with progress, files and the report."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from edgewright import pipeline
from edgewright.emit.tflite import WITHOUT_TFLM_KERNEL
from edgewright.errors import RecipeError, ToolError, UnsupportedError
from edgewright.ir.graph import Level
from edgewright.passes import find_pass
from edgewright.passes.registry import Line
from edgewright.recipe import Budget, Recipe, load_budget, load_recipe, read_budget
from edgewright.report.accuracy import Accuracy, compare
from edgewright.report.budget import hold_against, missed
from edgewright.report.ledger import Ledger
from edgewright.report.page import to_html
from edgewright.report.receipt import make_receipt
from edgewright.report.report import Report, make_report
from edgewright.report.text import to_text
from edgewright.targets.target import load_target
from edgewright.verbs.proof import Proof, prove
from edgewright.verbs.result import Result

LAST_STEPS = 3
"""Steps after those of the recipe: emit, evaluate, measure."""


def optimize(
    model: str,
    *,
    target: str,
    prefer: str = "speed",
    data: str | None,
    test: str | None,
    recipe: str,
    settings: Sequence[str],
    out: Path,
    formats: str | None,
    onnx_activations: str,
    seed: int,
    ram_budget: int | None,
    run: bool,
    reserve: Sequence[str] = (),
    budget: str | None = None,
    tflite_weights: str = "plain",
) -> Result:
    """Everything that can be refused is refused first, and everything is computed before anything is written.

    ``budget``: as read_budget takes it; a recipe of the user's own may bring one. A limit that is missed, or that nobody can tell, fails.
    """
    limits = read_budget(budget) if budget is not None else load_budget(recipe) if recipe.endswith(".toml") else Budget()
    board = load_target(target).preferring(prefer).reserving(reserve)
    chosen = with_settings(load_recipe(recipe), settings)
    named = None if formats is None else pipeline.check_formats(split(formats))
    pipeline.check_formats(pipeline.FORMATS, onnx_activations, tflite_weights)
    _check_folder(out)
    with progress() as bar:
        task = bar.add_task("load", total=None)

        def step(what: str, number: int, of: int) -> None:
            bar.update(task, description=what, completed=number, total=of + LAST_STEPS)

        result = pipeline.optimize(
            model, target=board, recipe=chosen, data=data, test=test, seed=seed, formats=named, progress=step, ram_budget=ram_budget
        )
        if limits.ram_bytes is not None and "c" in board.runtimes:
            result = pipeline.within_ram(result, limits.ram_bytes)
        count = len(result.recipe.steps)
        step("emit", count, count)
        files, wanted, skipped = _emit(result, named, onnx_activations=onnx_activations, tflite_weights=tflite_weights)
        step("measure", count + 1, count)
        proof = prove(result, wanted) if run else Proof()
        files |= proof.npu.files if proof.npu else {}
        step("evaluate", count + 2, count)
        report = _report(result, files, [*result.lines, *skipped, *proof.skipped], proof)
        report = report.model_copy(update={"budget": hold_against(limits, report, board)})
        step("done", count + LAST_STEPS, count)
    record = report.model_dump(mode="json")
    written = (json.dumps(record, indent=2, allow_nan=False) + "\n").encode()
    pipeline.write_files(files | {"report.json": written, "report.html": to_html(report).encode("utf-8", "replace")}, out)
    return Result(record, f"{to_text(report, out)}\n\nreport: {out / 'report.html'}", proof.failed or missed(report.budget))


def _report(result: pipeline.Optimized, files: Mapping[str, bytes], lines: Sequence[Line], proof: Proof) -> Report:
    """Everything that is known of ``result``."""
    program = result.program if "c" in result.target.runtimes else None
    return make_report(
        result.source,
        result.graph,
        result.target,
        recipe=result.recipe.name,
        steps=[entry.name for entry in result.recipe.steps],
        lines=lines,
        calibration=result.data,
        test=result.test,
        program=program,
        accuracy=_judge(result),
        files=files,
        run=proof.run,
        equal=proof.equal,
        npu=proof.npu,
        ledger=_ledger(result, proof),
        receipt=make_receipt(result.graph, result.target, result.recipe, lines, program, proof.npu),
    )


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ToolError(f"{out} is a file, the results need a folder", hint="choose another one with -o")


def _emit(
    result: pipeline.Optimized, named: Sequence[str] | None, **written_as: str
) -> tuple[dict[str, bytes], list[str], list[Line]]:
    """Files, their formats, and lines on what is missing. ``named``: the formats that were asked for, each of which must succeed; None: all
    that can express the network, the one that the target takes among them."""
    files: dict[str, bytes] = {}
    written: list[str] = []
    lines: list[Line] = []
    for name in pipeline.FORMATS if named is None else named:
        if named is None and name == "c" and (why := _no_c(result)):
            lines.append(Line("emit_c", "skipped", result.graph.name, why))
            continue
        try:
            files |= pipeline.emit(result, (name,), **written_as)
            written.append(name)
            if name == "c" and result.program is not None:
                pipeline.check_fits(result.program)
        except UnsupportedError as error:
            if named is not None or name == "c" or "c" not in result.target.runtimes:
                raise
            lines.append(Line(f"emit_{name}", "skipped", result.graph.name, error.message))
    if "tflite" in written and (without := _without_tflm(result)):
        lines.append(Line("emit_tflite", "skipped", result.graph.name, without))
    return files, written, lines


def _ledger(result: pipeline.Optimized, proof: Proof) -> Ledger | None:
    """None where the network is no C, or the target runs none."""
    return pipeline.ledger(result.program, proof.run) if result.program is not None and "c" in result.target.runtimes else None


def _without_tflm(result: pipeline.Optimized) -> str:
    """Why TensorFlow Lite Micro does not run the .tflite; empty where it does."""
    lacking = [f"{node.op.kind} {node.name!r}" for node in result.graph.nodes if node.op.kind in WITHOUT_TFLM_KERNEL]
    return f"LiteRT runs the file, TensorFlow Lite Micro has no kernel for {', '.join(lacking)}" if lacking else ""


def _judge(result: pipeline.Optimized) -> Accuracy | None:
    """Before and after on the test data, or else on those of the calibration; None without either."""
    judges, source = (result.test, "test") if result.test is not None else (result.data, "calibration")
    return None if judges is None else compare(result.source, result.graph, judges, samples_from=source)


def _no_c(result: pipeline.Optimized) -> str:
    """Why there is no C for this network and target; empty where there is."""
    if result.graph.level is Level.INTEGER and (narrow := pipeline.narrow_activations(result.graph)):
        return f"{len(narrow)} activations are narrower than eight bits, {narrow[0]!r} is the first: no C kernel takes such ones"
    if result.program is None:
        level = "computes in float" if result.graph.level is Level.FLOAT else "computes partly in float"
        return f"the network {level}, which the C kernels do not"
    return "" if "c" in result.target.runtimes else f"{result.target.name} runs no C, it takes the .tflite"


def split(formats: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in formats.split(",") if name.strip()]


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """``recipe`` with options set, each given as ``pass.option=value``."""
    for setting in settings:
        place, equals, text = setting.partition("=")
        name, dot, option = place.strip().partition(".")
        if not equals or not dot or not option:
            raise RecipeError(f"{setting!r} sets nothing", hint="write pass.option=value, for example quantize_static.ranges=mse")
        parameters = find_pass(name).parameters
        if option not in parameters:
            close = difflib.get_close_matches(option, parameters, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"its options are {', '.join(parameters) or 'none'}"
            raise RecipeError(f"pass {name!r} has no option {option!r}", hint=hint)
        value = text.strip()
        recipe = recipe.with_options(name, **{option: value if isinstance(parameters[option].default, str) else _parsed(setting, value)})
    return recipe


def _parsed(setting: str, value: str) -> bool | int | float | str:
    try:
        found = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{setting!r}: {value!r} is not a number, true or false", hint="write 0.5, 3, true or false") from error
    if not isinstance(found, (bool, int, float, str)):
        raise RecipeError(f"{setting!r}: {value!r} is not a number, true or false", hint="write 0.5, 3, true or false")
    return found


def progress() -> Progress:
    """A bar on standard error, with the time left; nothing where that is no terminal."""
    console = Console(stderr=True)
    parts = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), TextColumn("left"))
    return Progress(*parts, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
