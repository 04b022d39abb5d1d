"""The command line: one subcommand for each public verb, no logic. Results go to standard output, talk to standard error."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from edgewright import __version__
from edgewright.errors import EdgewrightError
from edgewright.verbs.arguments import (
    DataSource,
    Json,
    Model,
    OnnxActivations,
    Out,
    Prefer,
    RecipeName,
    Reserve,
    Settings,
    TargetName,
    TestSource,
    TfliteWeights,
)

if TYPE_CHECKING:
    from edgewright.verbs.result import Result

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Make a trained neural network fit an edge device, and prove that it still works.",
)
SHOW_TRACEBACK = "--traceback"


@app.command()
def show(
    model: Model,
    target: Annotated[str | None, typer.Option("--target", "-t", help="predict what it costs there, without running")] = None,
    prefer: Prefer = "speed",
    against: Annotated[str | None, typer.Option("--against", help="another model, to stand beside this one layer by layer")] = None,
    page: Annotated[Path | None, typer.Option("--page", help="with --against: write the picture to this .html file")] = None,
    as_json: Json = False,
) -> None:
    """Print a network: its nodes, shapes, multiply-accumulates and parameters; and what each layer costs on a target."""
    from edgewright.verbs.show import show

    _answer(lambda: show(model, target=target, prefer=prefer, against=against, page=page), as_json)


@app.command()
def optimize(
    model: Model,
    target: TargetName = "host",
    prefer: Prefer = "speed",
    data: DataSource = None,
    test: TestSource = None,
    recipe: RecipeName = "w8a8",
    settings: Settings = None,
    out: Out = Path("edgewright-out"),
    formats: Annotated[str | None, typer.Option("--formats", help="of tflite, onnx, c, with commas; all that the network can have")] = None,
    onnx_activations: OnnxActivations = "int8",
    tflite_weights: TfliteWeights = "plain",
    seed: Annotated[int, typer.Option("--seed", help="for techniques that draw at random")] = 0,
    ram_budget: Annotated[
        int | None, typer.Option("--ram-budget", min=1, help="most bytes of the arena: layers are tiled where it takes more")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="limits, ram_bytes=…,flash_bytes=…,latency_ms=…,energy_mj=…,accuracy_drop=…, or a TOML; 1 if missed"),
    ] = None,
    reserve: Reserve = None,
    no_measure: Annotated[bool, typer.Option("--no-measure", help="do not build and run the C")] = False,
    as_json: Json = False,
) -> None:
    """Make MODEL small for a target: .tflite, .onnx and C, with a report of what was done and what it costs."""
    from edgewright.verbs.optimize import optimize

    _answer(
        lambda: optimize(
            model,
            target=target,
            prefer=prefer,
            data=data,
            test=test,
            recipe=recipe,
            settings=settings or (),
            out=out,
            formats=formats,
            onnx_activations=onnx_activations,
            tflite_weights=tflite_weights,
            seed=seed,
            ram_budget=ram_budget,
            run=not no_measure,
            reserve=reserve or (),
            budget=budget,
        ),
        as_json,
    )


@app.command()
def emit(
    model: Model,
    target: TargetName = "host",
    prefer: Prefer = "speed",
    out: Out = Path("edgewright-out"),
    formats: Annotated[str, typer.Option("--formats", help="of tflite, onnx, c, with commas")] = "tflite,onnx,c",
    onnx_activations: OnnxActivations = "int8",
    tflite_weights: TfliteWeights = "plain",
    as_json: Json = False,
) -> None:
    """Write MODEL as it is in other formats; C needs a quantized network."""
    from edgewright.verbs.emit import emit

    _answer(
        lambda: emit(
            model, target=target, prefer=prefer, out=out, formats=formats, onnx_activations=onnx_activations, tflite_weights=tflite_weights
        ),
        as_json,
    )


@app.command()
def run(
    model: Model,
    data: Annotated[str, typer.Option("--data", "-d", help="samples, as for optimize")],
    runtime: Annotated[str, typer.Option("--runtime", help="evaluate, host, qemu, litert, xnnpack, tflm or onnxruntime")] = "evaluate",
    target: TargetName = "cortex-m4",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="save the outputs in this .npz file")] = None,
    as_json: Json = False,
) -> None:
    """Run MODEL on samples in a runtime, and report accuracy where there are labels."""
    from edgewright.verbs.run import run

    _answer(lambda: run(model, data=data, runtime=runtime, target=target, out=out), as_json)


@app.command()
def advise(
    model: Model,
    target: TargetName = "cortex-m4",
    prefer: Prefer = "speed",
    data: DataSource = None,
    as_json: Json = False,
) -> None:
    """Which techniques would pay on a target: each is tried without training, and what the target's kernels would gain is told."""
    from edgewright.verbs.advise import advise

    _answer(lambda: advise(model, target=target, prefer=prefer, data=data), as_json)


@app.command()
def precision(
    model: Model,
    data: Annotated[str, typer.Option("--data", "-d", help="calibration samples")],
    test: Annotated[str | None, typer.Option("--test", help="samples to judge on; default: those of --data")] = None,
    target: TargetName = "cortex-m4",
    widths: Annotated[str, typer.Option("--widths", help="bits to choose from: some of 2, 3, 4, 8")] = "2,4,8",
    drop: Annotated[float | None, typer.Option("--drop", help="most points of accuracy to lose: names the smallest that holds")] = None,
    slowdown: Annotated[float, typer.Option("--slowdown", help="most time of mixed networks, times that of int8; 0: any")] = 0.0,
    activations: Annotated[str, typer.Option("--activations", help="8,16: some layers may take and give int16; 8: none")] = "8,16",
    arena_bytes: Annotated[int, typer.Option("--arena-bytes", min=0, help="most RAM for activations, int16 ones among them; 0: any")] = 0,
    seed: Annotated[int, typer.Option("--seed", help="for what draws at random")] = 0,
    as_json: Json = False,
) -> None:
    """Widths of each layer's weights and activations under every budget: the front of costs against answers, uniform widths beside."""
    from edgewright.verbs.precision import precision

    _answer(
        lambda: precision(
            model,
            target=target,
            data=data,
            test=test,
            widths=widths,
            drop=drop,
            slowdown=slowdown,
            activations=activations,
            arena_bytes=arena_bytes,
            seed=seed,
        ),
        as_json,
    )


@app.command()
def evaluate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL…", help="networks of one task; the first is the reference")],
    data: Annotated[str, typer.Option("--data", "-d", help="labelled samples; .npz may hold `labels`, `targets`, `groups`")],
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", help="accuracy, top-K, precision, recall, f1, auroc, average_precision, mae, r2, module:function"),
    ] = None,
    groups: Annotated[str | None, typer.Option("--groups", help=".npy: what belongs together (a user, a recording)")] = None,
    corruptions: Annotated[str | None, typer.Option("--corruptions", help="auto, image, features or series: real-world scenarios")] = None,
    runtimes: Annotated[str | None, typer.Option("--runtimes", help="all, or names with commas: do they answer alike?")] = None,
    target: TargetName = "cortex-m4",
    tolerance: Annotated[float, typer.Option("--tolerance", help="a loss, as a share of 1, that does not matter")] = 0.01,
    folds: Annotated[int, typer.Option("--folds", help="cross-validate RECIPE's calibration over so many folds")] = 0,
    recipe: RecipeName = "w8a8",
    seed: Annotated[int, typer.Option("--seed", help="for resampling, folds and corruptions")] = 0,
    as_json: Json = False,
) -> None:
    """Judge networks on samples: figures, what their differences are worth, worst classes and groups, scenarios, agreement of runtimes."""
    from edgewright.verbs.evaluate import evaluate

    _answer(
        lambda: evaluate(
            models,
            data=data,
            metrics=metric or (),
            groups=groups,
            corruptions=corruptions,
            runtimes=runtimes,
            target=target,
            tolerance=tolerance,
            folds=folds,
            recipe=recipe,
            seed=seed,
        ),
        as_json,
    )


@app.command()
def diagnose(
    floating: Annotated[str, typer.Argument(metavar="FLOAT", help="the network before quantization")],
    quantized: Annotated[str, typer.Argument(metavar="QUANTIZED", help="what became of it: .tflite or QDQ .onnx, by any tool")],
    data: Annotated[str, typer.Option("--data", "-d", help="samples, as the device will see them; labels are used where there are any")],
    fix: Annotated[bool, typer.Option("--fix", help="quantize FLOAT anew by the remedy, and measure what comes back")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="folder for the page with pictures, the remedy and its network")] = None,
    seed: Annotated[int, typer.Option("--seed", help="for the halves that mend and judge")] = 0,
    as_json: Json = False,
) -> None:
    """Name the cause of a quantized network's loss, layer by layer, with evidence and remedy."""
    from edgewright.verbs.diagnose import diagnose

    _answer(lambda: diagnose(floating, quantized, data=data, fix=fix, out=out, seed=seed), as_json)


@app.command()
def receipt(
    where: Annotated[Path, typer.Argument(metavar="FOLDER", help="what optimize wrote, or its report.json")], as_json: Json = False
) -> None:
    """Say what an earlier optimize was asked of each layer, what it got, and why."""
    from edgewright.verbs.receipt import receipt

    _answer(lambda: receipt(where), as_json)


@app.command()
def measure(
    model: Model,
    target: TargetName = "cortex-m4",
    prefer: Prefer = "speed",
    data: DataSource = None,
    samples: Annotated[int, typer.Option("--samples", help="inferences to run")] = 2,
    reserve: Reserve = None,
    peer: Annotated[str | None, typer.Option("--peer", help="a peer's figures to compare with: .toml, .json or .csv")] = None,
    as_json: Json = False,
) -> None:
    """Build the C of a quantized MODEL for a target, run it, and print instructions, memory and bytes layer by layer."""
    from edgewright.verbs.measure import measure

    _answer(
        lambda: measure(model, target=target, prefer=prefer, data=data, samples=samples, reserve=reserve or (), peer=peer), as_json
    )


@app.command()
def passes(as_json: Json = False) -> None:
    """List the techniques, their options and defaults, and the named recipes."""
    from edgewright.verbs.passes import passes

    _answer(passes, as_json)


@app.command()
def targets(as_json: Json = False) -> None:
    """List the targets: memories, and where they can be measured."""
    from edgewright.verbs.targets import targets

    _answer(targets, as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say which tools and optional packages are there, what each is for, and how to get what is missing."""
    from edgewright.verbs.doctor import doctor

    _answer(doctor, as_json)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
    show_traceback: Annotated[bool, typer.Option(SHOW_TRACEBACK, help="show where an unexpected error came from")] = False,
) -> None:
    """Options before the verb."""


def _answer(verb: Callable[[], Result], as_json: bool) -> None:
    """Print what ``verb`` gives, all of it at once; what libraries print meanwhile is talk."""
    with _output_is_talk():
        result = verb()
        answer = json.dumps(result.data, indent=2, allow_nan=False) if as_json else result.text
    print(answer)
    sys.stdout.flush()
    if result.failed:
        _fail(result.failed, code=1)


@contextlib.contextmanager
def _output_is_talk() -> Iterator[None]:
    """Standard output goes to standard error: of Python, and of C libraries where it is a file."""
    sys.stdout.flush()
    try:
        saved = os.dup(1) if sys.stdout.fileno() == 1 else -1
    except (OSError, ValueError):
        saved = -1
    try:
        if saved >= 0:
            os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if saved >= 0:
            os.dup2(saved, 1)
            os.close(saved)


def _fail(message: str, hint: str = "", code: int = 2) -> NoReturn:
    print(f"error: {_plain(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {_plain(hint)}", file=sys.stderr)
    sys.stderr.flush()
    sys.exit(code)


def _plain(text: str) -> str:
    """``text`` without control characters: it may hold names out of a hostile file."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


def _terminated(number: int, frame: FrameType | None) -> None:
    """A polite kill unwinds like Ctrl-C, so that nothing half-written stays behind."""
    raise KeyboardInterrupt


def _drop_output() -> None:
    """Nobody reads standard output, or it cannot take more: keep the interpreter from trying again at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point. Exit codes: 0 done, 1 ran but is wrong (or nobody reads), 2 refused with one message and a hint, 130 interrupted."""
    chosen = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGTERM, _terminated)
    try:
        app(chosen, prog_name="edgewright")
    except SystemExit as exit:
        if exit.code == 130:
            _fail("interrupted", code=130)
        raise
    except EdgewrightError as error:
        _fail(error.message, error.hint)
    except KeyboardInterrupt:
        _fail("interrupted", code=130)
    except MemoryError:
        _fail("out of memory", "the network or the data is too large for this machine; try fewer samples")
    except BrokenPipeError:
        _drop_output()
        sys.exit(1)
    except OSError as error:
        _drop_output()
        where = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{where}", "check the path, its permissions and the free space")
    except Exception as error:
        if SHOW_TRACEBACK in chosen:
            traceback.print_exc()
        hint = f"this is a defect of Edgewright; `edgewright {SHOW_TRACEBACK} …` shows where, please report it"
        _fail(f"unexpected {type(error).__name__}: {error}", hint, code=1)
    sys.exit(0)
