"""The command line: one subcommand for each public verb, no logic. Results go to standard output, talk to standard error."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from edgewright import __version__
from edgewright.errors import EdgewrightError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
                  help="Make a trained neural network fit an edge device, and prove that it still works.")

Model = Annotated[str, typer.Argument(help="a .tflite, .onnx or .pt2 file, or .npz as saved by Edgewright")]
TargetName = Annotated[str, typer.Option("--target", "-t", help="a target's name (`edgewright targets`) or a .toml file")]
DataSource = Annotated[str | None, typer.Option("--data", "-d", help=".npy, .npz, a folder of images or wav files, or module:function")]
TestSource = Annotated[str | None, typer.Option("--test", help="labelled samples for accuracy before and after; never used to choose anything")]
RecipeName = Annotated[str, typer.Option("--recipe", "-r", help="a named recipe or a .toml file")]
Out = Annotated[Path, typer.Option("--out", "-o", help="folder for the files")]
Formats = Annotated[str, typer.Option("--formats", help="comma-separated: tflite, onnx, c")]
OnnxActivations = Annotated[str, typer.Option("--onnx-activations", help="int8 (TensorRT) or uint8 (fastest in ONNX Runtime on x86)")]
Json = Annotated[bool, typer.Option("--json", help="print JSON on standard output")]


@app.command()
def show(model: Model, as_json: Json = False) -> None:
    """Print a network: its nodes, shapes, multiply-accumulates and parameters."""
    from edgewright import verbs

    _print(verbs.show(model), as_json)


@app.command()
def optimize(model: Model, target: TargetName = "host", data: DataSource = None, test: TestSource = None, recipe: RecipeName = "w8a8",
             out: Out = Path("edgewright-out"), formats: Formats = "tflite,onnx,c", onnx_activations: OnnxActivations = "int8", seed: int = 0,
             no_measure: Annotated[bool, typer.Option("--no-measure", help="do not build and run the C")] = False, as_json: Json = False) -> None:
    """Make MODEL small for a target: .tflite, .onnx and C, with a report of what was done and what it costs."""
    from edgewright import verbs

    _print(verbs.optimize(model, target=target, data=data, test=test, recipe=recipe, out=out, formats=formats, onnx_activations=onnx_activations, seed=seed,
                          run=not no_measure), as_json)


@app.command()
def emit(model: Model, target: TargetName = "host", out: Out = Path("edgewright-out"), formats: Formats = "tflite,onnx,c",
         onnx_activations: OnnxActivations = "int8", as_json: Json = False) -> None:
    """Write MODEL as it is in other formats; C needs a quantized network."""
    from edgewright import verbs

    _print(verbs.emit(model, target=target, out=out, formats=formats, onnx_activations=onnx_activations), as_json)


@app.command()
def run(model: Model, data: Annotated[str, typer.Option("--data", "-d", help="samples, as for optimize")],
        runtime: Annotated[str, typer.Option("--runtime", help="evaluate, host, qemu, litert, xnnpack, tflm or onnxruntime")] = "evaluate",
        target: TargetName = "host", out: Annotated[Path | None, typer.Option("--out", "-o", help="save the outputs as .npz")] = None,
        as_json: Json = False) -> None:
    """Run MODEL on samples in a runtime, and report accuracy where there are labels."""
    from edgewright import verbs

    _print(verbs.run(model, data=data, runtime=runtime, target=target, out=out), as_json)


@app.command()
def measure(model: Model, target: TargetName = "cortex-m4", data: DataSource = None,
            samples: Annotated[int, typer.Option("--samples", help="inferences to run")] = 2, as_json: Json = False) -> None:
    """Build the C of a quantized MODEL for a target, run it, and print instructions, memory and bytes layer by layer."""
    from edgewright import verbs

    _print(verbs.measure(model, target=target, data=data, samples=samples), as_json)


@app.command()
def passes(as_json: Json = False) -> None:
    """List the techniques, their options and defaults, and the named recipes."""
    from edgewright import verbs

    _print(verbs.passes(), as_json)


@app.command()
def targets(as_json: Json = False) -> None:
    """List the targets: memories, kernels, and where they can be measured."""
    from edgewright import verbs

    _print(verbs.targets(), as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say which tools and optional packages are there, what each is for, and how to get what is missing."""
    from edgewright import verbs

    _print(verbs.doctor(), as_json)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False) -> None:
    """Options before the verb."""


def _print(result: Any, as_json: bool) -> None:
    """``result`` is a verbs.Result: structured data, and the same as text."""
    print(json.dumps(result.data, indent=2, allow_nan=False) if as_json else result.text)


def _fail(message: str, hint: str = "", code: int = 2) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    sys.stderr.flush()
    sys.exit(code)


def main() -> None:
    """Entry point: every foreseeable failure is one message with a hint and exit code 2."""
    try:
        app()
    except EdgewrightError as error:
        _fail(error.message, error.hint)
    except MemoryError:
        _fail("out of memory", "the network or the data is too large for this machine; try fewer samples")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", "check the path, its permissions and the free space")
    except KeyboardInterrupt:
        _fail("interrupted", code=130)
