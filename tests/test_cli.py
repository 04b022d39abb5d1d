"""The command line: every verb, what it prints where, exit codes, and one message with a hint for everything that can go wrong."""

from __future__ import annotations

import dataclasses
import errno
import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import pytest

from edgewright import pipeline
from edgewright.cli import main
from edgewright.data import load_data
from edgewright.emit.onnx import emit_onnx
from edgewright.errors import ModelError, ToolError
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph
from edgewright.ir.serial import save_graph
from edgewright.ops import AveragePool2D, Conv2D, HardSigmoid, Mul, SiLU
from edgewright.ops.evaluate import evaluate, quantize_inputs
from edgewright.run.onnxruntime import run_onnxruntime
from edgewright.targets.target import list_targets
from tests.zoo import ZOO, quantize_zoo, zoo_inputs

TRACEBACK = "Traceback (most recent call last)"


class Answer(NamedTuple):
    """What a call gave."""

    code: int
    out: str
    err: str

    def json(self) -> object:
        return json.loads(self.out)


Call = Callable[..., Answer]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """main() in this process, as a shell would see it."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert TRACEBACK not in captured.err
        return Answer(
            ended.value.code if isinstance(ended.value.code, int) else 0 if ended.value.code is None else 99, captured.out, captured.err
        )

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A float network of 5 classes in a file."""
    return save_graph(ZOO["separable_keyword_spotter"](), tmp_path / "net.npz")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """40 samples for it, labelled at random."""
    graph = ZOO["separable_keyword_spotter"]()
    path = tmp_path / "data.npz"
    inputs = np.asarray(zoo_inputs(graph, 40)[0], np.float32)
    np.savez(path, inputs=inputs, labels=np.arange(40) % int(graph.value(graph.outputs[0]).shape[1] or 1))
    return path


@pytest.fixture
def integer(tmp_path: Path) -> Path:
    """The network at the integer level."""
    return save_graph(quantize_zoo(ZOO["separable_keyword_spotter"]()), tmp_path / "integer.npz")


def refused(answer: Answer, message: str, hint: str = "", code: int = 2) -> None:
    """One message on standard error, with a hint, and nothing on standard output."""
    assert answer.code == code, answer
    assert answer.out == ""
    assert re.search(rf"^error: .*{message}", answer.err), answer.err
    assert answer.err.count("error:") == 1
    assert re.search(rf"^hint: .*{hint}", answer.err, re.MULTILINE), answer.err


# Verbs that list


def test_version_and_help(call: Call) -> None:
    assert call("--version") == Answer(0, "0.1.0\n", "")
    for arguments in (("--help",), ("optimize", "--help")):
        answer = call(*arguments)
        assert answer.code == 0 and "Usage: edgewright" in answer.out and answer.err == ""
    assert call().code == 2


def test_targets(call: Call) -> None:
    assert "cortex-m4" in call("targets").out
    listed = call("targets", "--json").json()
    assert isinstance(listed, list) and [target["name"] for target in listed] == list(list_targets())


def test_passes(call: Call) -> None:
    assert "quantize_static" in call("passes").out
    listed = call("passes", "--json").json()
    assert isinstance(listed, dict) and listed["passes"]["quantize_static"]["options"]["ranges"] == "minmax"
    assert listed["passes"]["quantize_static"]["needs_data"] and "w8a8" in listed["recipes"]


def test_doctor_says_what_is_missing_and_is_content(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    answer = call("doctor")
    assert answer.code == 0
    for part in ("arm-none-eabi-gcc", "missing", "apt-get install", "qemu-system-arm"):
        assert part in answer.out
    tools = call("doctor", "--json").json()
    assert isinstance(tools, list) and {"name", "version", "purpose", "remedy"} == set(tools[0])


# Verbs that work


def test_show(call: Call, net: Path, integer: Path) -> None:
    text = call("show", net)
    assert text.code == 0 and "multiply-accumulates" in text.out and "Softmax" in text.out
    shown = call("show", integer, "--json").json()
    assert isinstance(shown, dict) and shown["level"] == "integer" and shown["macs"] > 0 and shown["nodes"][0]["kind"] == "Conv2D"
    priced = call("show", integer, "--target", "cortex-m4")
    assert "instructions, predicted" in priced.out and "cycles, predicted" in priced.out
    layers = call("show", integer, "--target", "cortex-m4", "--json").json()["layers"]
    assert all(layer["predicted_instructions"] > 0 for layer in layers if layer["kind"] == "Conv2D")
    assert "unknown: there are no costs" in call("show", integer, "--target", "host").out


def test_optimize_writes_everything_and_tells_it(call: Call, net: Path, data: Path, tmp_path: Path, needs_cc: None) -> None:
    out = tmp_path / "out"
    answer = call("optimize", net, "--data", data, "--test", data, "-o", out, "--json")
    assert answer.code == 0, answer.err
    report = answer.json()
    assert isinstance(report, dict)
    assert report["accuracy"]["samples_from"] == "test" and report["accuracy"]["accuracy_before"] is not None
    assert report["measured"]["equal_to_evaluation"] is True and report["measured"]["inferences"] == 8
    written = {str(path.relative_to(out)): path.stat().st_size for path in out.rglob("*") if path.is_file()}
    name = report["name"]
    assert {f"{name}.tflite", f"{name}.onnx", f"c/{name}.c", f"c/{name}.h", "report.json", "report.html"} <= set(written)
    assert all(written[file] == size for file, size in report["files"].items())
    assert json.loads((out / "report.json").read_text()) == report
    assert (out / "report.html").read_text().startswith("<!doctype html>")


def test_optimize_in_words(call: Call, net: Path, data: Path, tmp_path: Path) -> None:
    answer = call(
        "optimize", net, "-d", data, "-o", tmp_path / "out", "--no-measure", "--formats", "tflite", "-s", "quantize_static.ranges=mse"
    )
    assert answer.code == 0, answer.err
    for part in ("accuracy on 40 calibration samples", "arena", "before", "after", f"report: {tmp_path / 'out' / 'report.html'}"):
        assert part in answer.out
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".tflite", ".json", ".html"}
    assert "mse ranges" in (tmp_path / "out" / "report.json").read_text()


@pytest.mark.parametrize("recipe", ["float16", "dynamic"])
def test_recipes_without_integers_write_what_they_can(call: Call, net: Path, tmp_path: Path, recipe: str) -> None:
    answer = call("optimize", net, "-r", recipe, "-o", tmp_path / "out", "--json")
    report = answer.json()
    assert answer.code == 0 and isinstance(report, dict)
    assert {Path(name).suffix for name in report["files"]} == {".tflite", ".onnx"}
    assert any(entry["technique"] == "emit_c" and entry["action"] == "skipped" for entry in report["entries"])
    refused(call("optimize", net, "-r", recipe, "-o", tmp_path / "no", "--formats", "c"), "still computes in float", "w8a8")
    assert not (tmp_path / "no").exists()


def test_int4_activations_are_told_and_evaluated(call: Call, tmp_path: Path) -> None:
    model, data = saved(tmp_path, ZOO["inverted_bottleneck"]())
    answer = call("optimize", model, "-r", "w4a4", "--data", data, "-o", tmp_path / "out", "--json")
    report = answer.json()
    assert answer.code == 0 and isinstance(report, dict) and report["accuracy"] is not None
    skipped = {entry["technique"]: entry["detail"] for entry in report["entries"] if entry["action"] == "skipped"}
    assert "narrower than eight bits" in skipped["emit_c"] and {"emit_tflite", "emit_onnx"} <= skipped.keys()
    refused(call("optimize", model, "-r", "w4a4", "--data", data, "-o", tmp_path / "no", "--formats", "c"), "has no C kernel", "int8")
    assert not (tmp_path / "no").exists()


def saved(tmp_path: Path, graph: Graph) -> tuple[Path, Path]:
    """``graph`` and 20 samples for its only input, in files."""
    np.savez(tmp_path / "samples.npz", inputs=np.asarray(zoo_inputs(graph, 20)[0], np.float32))
    return save_graph(graph, tmp_path / "graph.npz"), tmp_path / "samples.npz"


def gated(tmp_path: Path) -> tuple[Path, Path]:
    """A convolution with SiLU, and a gate with HardSigmoid."""
    net = GraphBuilder("gated")
    weight = net.constant("weight", np.random.default_rng(0).normal(0, 0.5, (4, 3, 3, 2)).astype(np.float32))
    y = net.node(SiLU(), [net.node(Conv2D(), [net.input("x", (None, 6, 6, 2)), weight], name="conv")], name="silu")
    return saved(tmp_path, net.finish([net.node(Mul(), [y, net.node(HardSigmoid(), [y], name="gate")], name="gated")]))


def test_activations_without_int8_kernel_are_taken_apart_for_tflite_only(call: Call, tmp_path: Path, needs_arm: None) -> None:
    graph, samples = gated(tmp_path)
    for formats, expanded in (([], True), (["--formats", "tflite"], True), (["--formats", "c,onnx"], False)):
        out = tmp_path / f"out{len(formats)}{expanded}"
        report = call("optimize", graph, "-t", "cortex-m4", "-d", samples, "-o", out, "--json", *formats).json()
        assert isinstance(report, dict)
        told = {(entry["where"], entry["detail"]) for entry in report["entries"] if entry["technique"] == "expand_activations"}
        assert ("expand_activations" in report["steps"]) is expanded is bool(told)
        assert bool(list(out.glob("*.tflite"))) is expanded
        if expanded:
            assert ("silu", "SiLU made a Sigmoid and a Mul") in told
            assert any("no int8 kernel for HardSigmoid and SiLU" in detail for _, detail in told)
        if formats != ["--formats", "tflite"]:
            assert report["measured"]["equal_to_evaluation"] is True
    assert "expand_activations" in call("optimize", graph, "-d", samples, "-o", tmp_path / "words", "--no-measure", "--json").out


def test_what_tflite_cannot_express_is_refused_before_calibration(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = GraphBuilder("pooled")
    pool = AveragePool2D((3, 3), (2, 2), ((1, 1), (1, 1)))
    graph, samples = saved(tmp_path, net.finish([net.node(pool, [net.input("x", (None, 8, 8, 2))])]))
    report = call("optimize", graph, "-d", samples, "-o", tmp_path / "out", "--no-measure", "--json").json()
    assert isinstance(report, dict) and {Path(name).suffix for name in report["files"]} == {".onnx", ".c", ".h"}
    (entry,) = [entry for entry in report["entries"] if entry["technique"] == "emit_tflite"]
    assert entry["action"] == "skipped" and "which .tflite cannot express" in entry["detail"]
    monkeypatch.setattr("edgewright.passes.quantize.quantize_static.calibrate", lambda *_, **__: pytest.fail("calibrated"))
    refused(call("optimize", graph, "-d", samples, "-o", tmp_path / "no", "--formats", "tflite,c"), "which .tflite cannot express")
    assert not (tmp_path / "no").exists()


def test_an_integer_silu_has_no_tflite(call: Call, tmp_path: Path) -> None:
    graph = save_graph(quantize_zoo(pipeline.load(gated(tmp_path)[0])), tmp_path / "integer.npz")
    report = call("optimize", graph, "-o", tmp_path / "out", "--no-measure", "--json").json()
    assert isinstance(report, dict) and {Path(name).suffix for name in report["files"]} == {".onnx", ".c", ".h"}
    assert "expand_activations" not in report["steps"]
    refused(call("optimize", graph, "-o", tmp_path / "no", "--formats", "tflite"), "SiLU 'silu' has no int8 kernel", "expand_activations")
    refused(call("optimize", graph, "-o", tmp_path / "no", "-t", "ethos-u55-128"), "SiLU 'silu' has no int8 kernel", "expand_activations")


def test_gelu_is_said_to_run_in_litert_alone(call: Call, tmp_path: Path) -> None:
    graph, samples = saved(tmp_path, ZOO["gelu_mixer"]())
    report = call("optimize", graph, "-d", samples, "-o", tmp_path / "out", "--no-measure", "--json").json()
    assert isinstance(report, dict) and any(name.endswith(".tflite") for name in report["files"])
    (entry,) = [entry for entry in report["entries"] if entry["technique"] == "emit_tflite"]
    assert entry["detail"] == "LiteRT runs the file, TensorFlow Lite Micro has no kernel for GELU 'gelu1', GELU 'gelu2'"


def test_an_accelerator_gets_the_tflite_compiled_and_no_c(
    call: Call, net: Path, data: Path, integer: Path, tmp_path: Path, needs_vela: None
) -> None:
    report = call("optimize", net, "-t", "ethos-u55-128", "-d", data, "-o", tmp_path / "out", "--json").json()
    assert isinstance(report, dict) and report["npu"]["cycles"] > 0 and report["npu"]["cpu_operators"] == 0
    assert {name.removeprefix(report["name"]) for name in report["files"]} == {".tflite", "_vela.tflite", ".onnx"}
    assert report["memory"] is None and report["measured"] is None
    assert call("measure", integer, "-t", "ethos-u85-256", "--json").json()["npu"]["accelerator"] == "ethos-u85-256"  # type: ignore[index]


def test_an_accelerator_without_its_compiler(call: Call, net: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    report = call("optimize", net, "-t", "ethos-u55-128", "-d", data, "-o", tmp_path / "out", "--json").json()
    assert isinstance(report, dict) and report["npu"] is None
    assert [entry["detail"] for entry in report["entries"] if entry["technique"] == "measure"] == [
        "Vela is not installed (pip install 'edgewright[ethos-u]')"
    ]


def test_optimize_without_the_tools_to_measure_says_so(
    call: Call, net: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    answer = call("optimize", net, "-t", "cortex-m4", "-d", data, "-o", tmp_path / "out", "--json")
    report = answer.json()
    assert answer.code == 0 and isinstance(report, dict) and report["measured"] is None
    (entry,) = [entry for entry in report["entries"] if entry["technique"] == "measure"]
    assert entry["action"] == "skipped" and "qemu-system-arm is not installed" in entry["detail"] and "apt-get" in entry["detail"]


def test_emit(call: Call, integer: Path, tmp_path: Path) -> None:
    answer = call("emit", integer, "-o", tmp_path / "out", "--json")
    found = answer.json()
    assert answer.code == 0 and isinstance(found, dict)
    assert all((tmp_path / "out" / name).stat().st_size == size for name, size in found["files"].items())
    assert call("emit", integer, "-o", tmp_path / "out", "--formats", "onnx", "--onnx-activations", "uint8").out.strip().endswith(".onnx")


@pytest.mark.parametrize("runtime", ["evaluate", "host", "litert", "xnnpack", "onnxruntime"])
def test_run_in_every_runtime(call: Call, integer: Path, data: Path, tmp_path: Path, runtime: str, needs_cc: None) -> None:
    answer = call("run", integer, "--data", data, "--runtime", runtime, "-o", tmp_path / "outputs", "--json")
    found = answer.json()
    assert answer.code == 0 and isinstance(found, dict) and found["samples"] == 40 and 0 <= found["accuracy"] <= 1
    with np.load(tmp_path / "outputs.npz") as saved:
        outputs = saved["output_0"]
    assert outputs.shape[0] == 40 and np.allclose(outputs.sum(axis=1), 1, atol=0.05)
    assert "accuracy" in call("run", integer, "--data", data, "--runtime", runtime).out


def test_run_tells_what_the_runner_noted(call: Call, integer: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verb = importlib.import_module("edgewright.verbs.runtimes")
    monkeypatch.setattr(verb, "run_onnxruntime", lambda *given: dataclasses.replace(run_onnxruntime(*given), notes=("computed in float",)))
    assert call("run", integer, "--data", data, "--runtime", "onnxruntime", "--json").json()["notes"][0] == "computed in float"
    assert "note: computed in float" in call("run", integer, "--data", data, "--runtime", "onnxruntime").out


def test_run_tells_how_far_a_runtime_is_from_the_device(call: Call, integer: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = pipeline.load(integer)
    inputs = quantize_inputs(graph, load_data(str(data), graph).inputs)
    expected = evaluate(graph, inputs)[0]
    moved = expected.copy()
    moved[:3] = np.roll(expected[:3], 1, axis=1)
    steps = np.abs(moved.astype(int) - expected)
    changed = int(np.count_nonzero(moved.argmax(1) != expected.argmax(1)))
    verb = importlib.import_module("edgewright.verbs.runtimes")
    for outputs, notes in ((expected, 0), (moved, 2)):
        run = dataclasses.replace(run_onnxruntime(emit_onnx(graph), inputs), outputs=[outputs], notes=())
        monkeypatch.setattr(verb, "run_onnxruntime", lambda *given, run=run: run)
        found = call("run", integer, "--data", data, "--runtime", "onnxruntime", "--json").json()["notes"]
        assert len(found) == notes
    assert found[0].startswith(f"{np.count_nonzero(steps)} of {steps.size} output integers differ from the device's")
    assert f"at most {steps.max()} step" in found[0] and changed and f"another largest output in {changed} of 40 samples" in found[0]
    assert "--onnx-activations exact" in found[1]


def test_run_a_float_network(call: Call, net: Path, data: Path) -> None:
    assert call("run", net, "-d", data).code == 0
    refused(call("run", net, "-d", data, "--runtime", "host"), "computes in float", "recipe w8a8")


def test_measure(call: Call, integer: Path, needs_arm: None) -> None:
    answer = call("measure", integer, "--target", "cortex-m0plus", "--json")
    report = answer.json()
    assert answer.code == 0 and isinstance(report, dict)
    measured = report["measured"]
    assert measured["equal_to_evaluation"] and measured["instructions_per_inference"] > 0 and measured["peak_stack_bytes"] > 0
    assert all(layer["instructions"] > 0 for layer in report["layers"])


def test_measure_shows_the_ledger_and_a_peer(call: Call, integer: Path, tmp_path: Path, needs_arm: None) -> None:
    peer = tmp_path / "peer.csv"
    peer.write_text("network,core,instructions,arena\nseparable_keyword_spotter,cortex-m4,1000000000,1\n")
    answer = call("measure", integer, "-t", "cortex-m4", "--reserve", "radio stack=20480", "--peer", peer, "--json")
    report = answer.json()
    assert answer.code == 0 and isinstance(report, dict)
    entries = {entry["name"]: entry for entry in report["ledger"]["entries"]}
    assert entries["radio stack"]["predicted"] == 20480 and entries["code"]["predicted"] == entries["code"]["found"] > 0
    assert [row["figure"] for row in report["peer"]["rows"]] == ["instructions", "arena"]
    assert report["peer"]["rows"][0]["ratio"] < 1 < report["peer"]["rows"][1]["ratio"]


def test_measure_refuses_a_peer_and_a_reserve_that_are_none(call: Call, integer: Path, tmp_path: Path) -> None:
    answer = call("measure", integer, "--peer", tmp_path / "none.toml")
    assert answer.code == 2 and "cannot read the peer's table" in answer.err
    answer = call("measure", integer, "--reserve", "radio")
    assert answer.code == 2 and "'radio' reserves nothing" in answer.err and "NAME=BYTES" in answer.err


def test_other_bytes_than_evaluated_are_exit_code_1(call: Call, integer: Path, monkeypatch: pytest.MonkeyPatch, needs_cc: None) -> None:
    monkeypatch.setattr("edgewright.verbs.measure.same_bytes", lambda *_: False)
    answer = call("measure", integer, "--target", "host")
    assert answer.code == 1 and "OTHER BYTES" in answer.out and "gave other bytes than the evaluation" in answer.err


# What can go wrong


def test_no_data_is_one_message_before_any_work(call: Call, net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "run_recipe", lambda *_: pytest.fail("work was done"))
    refused(call("optimize", net, "-o", tmp_path / "out"), "quantize_static needs calibration data and got none", "give --data")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--target", "cortex-m44"], "unknown target 'cortex-m44'", "did you mean .*'cortex-m4'"),
        (["--recipe", "w8a9"], "there is no recipe 'w8a9'", "did you mean 'w8a8'"),
        (["--recipe", "none.toml"], "cannot read none.toml", "w8a8"),
        (["--formats", "tflite,onx"], "unknown format 'onx'", "tflite, onnx, c"),
        (["--formats", ","], "no format to write", "tflite, onnx, c"),
        (["--onnx-activations", "int4"], "unknown type 'int4'", "uint8"),
        (["--set", "quantize_static.range=mse"], "no option 'range'", "did you mean 'ranges'"),
        (["--set", "quantise_static.ranges=mse"], "there is no pass 'quantise_static'", "did you mean 'quantize_static'"),
        (["--set", "quantize_float16.x=1"], "no option 'x'", "its options are none"),
        (["--set", "quantize_static.percentile=high"], "'high' is not a number", "0.5"),
        (["--set", "quantize_static.percentile=[1]"], "is not a number", "0.5"),
        (["--set", "quantize_static.percentile=12"], "percentile must lie above 50", "99.99"),
        (["--set", "ranges"], "'ranges' sets nothing", "pass.option=value"),
        (["--set", "quantize_dynamic.minimum_elements=3"], "recipe 'w8a8' has no step 'quantize_dynamic'", ""),
        (["--data", "none.npz"], "there is no data at none.npz", "folder of images"),
        (["--test", "none.npz"], "there is no data at none.npz", "folder of images"),
    ],
)
def test_bad_options(call: Call, net: Path, data: Path, tmp_path: Path, arguments: list[str], message: str, hint: str) -> None:
    answer = call(
        "optimize",
        net,
        "--data",
        data,
        "-o",
        tmp_path / "out",
        *(["--set", "quantize_static.ranges=percentile"] if "percentile" in message else []),
        *arguments,
    )
    refused(answer, message, hint)
    assert not (tmp_path / "out").exists()


def test_recipes_in_files(call: Call, net: Path, data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    for text, message in (
        ('steps = ["clean", "quantise_static"]', "there is no pass 'quantise_static'"),
        ('steps = ["clean", { pass = "quantize_static", options = { range = "mse" } }]', "has no option 'range'"),
        ('steps = ["clean", { pass = "quantize_static", options = { ranges = 3 } }]', "takes str, got 3"),
        ("steps = [", "is not TOML"),
        ("", "needs a list of steps"),
    ):
        recipe.write_text(text)
        refused(call("optimize", net, "-d", data, "-r", recipe, "-o", tmp_path / "out"), f".*{message}")
    recipe.write_text('steps = ["clean", { pass = "quantize_static", options = { ranges = "mse" } }]')
    assert call("optimize", net, "-d", data, "-r", recipe, "-o", tmp_path / "out", "--no-measure").code == 0


@pytest.mark.parametrize("verb", ["show", "optimize", "emit", "measure", "run"])
def test_models_that_are_not_there(call: Call, tmp_path: Path, verb: str) -> None:
    more = ["--data", "x.npz"] if verb == "run" else []
    refused(call(verb, tmp_path / "none.tflite", *more), "there is no model at", "check the path")
    refused(call(verb, tmp_path, *more), "is a folder, not a model", "give a file")
    (tmp_path / "model.txt").write_text("")
    refused(call(verb, tmp_path / "model.txt", *more), "unknown kind of model", "known endings")
    (tmp_path / "model.tflite").write_bytes(b"TFL3 but no model")
    assert call(verb, tmp_path / "model.tflite", *more).code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimise"], "No such command"),
        (["show"], "Missing argument"),
        (["show", "x", "--jsn"], "No such option"),
        (["measure", "x", "--samples", "two"], "valid integer"),
    ],
)
def test_usage(call: Call, arguments: list[str], message: str) -> None:
    answer = call(*arguments)
    assert answer.code == 2 and answer.out == "" and message in answer.err and "Usage:" in answer.err


def test_bad_values_of_other_verbs(call: Call, integer: Path, net: Path, data: Path) -> None:
    refused(call("measure", integer, "--samples", "0"), "--samples must be at least 1")
    refused(call("measure", net), "is a float network", "recipe w8a8")
    refused(call("run", integer, "-d", data, "--runtime", "litter"), "unknown runtime 'litter'", "did you mean 'litert'")
    refused(call("run", integer, "-d", data, "--runtime", "qemu", "-t", "host"), "host is not emulated", "cortex-m4")


def test_a_network_that_does_not_fit(call: Call, tmp_path: Path, needs_arm: None) -> None:
    graph = ZOO["conv_same_relu"]()
    path = save_graph(quantize_zoo(graph), tmp_path / "net.npz")
    board = tmp_path / "small.toml"
    board.write_text('extends = "microbit"\nname = "small"\ntitle = "a small board"\nram_bytes = 1280\nstack_bytes = 1024\n')
    answer = call("measure", path, "--target", board)
    refused(answer, "needs [0-9,]+ bytes, small has 256", "the peak stands at")
    board.write_text('extends = "microbit"\nname = "small"\ntitle = "a small board"\nflash_bytes = 2048\n')
    refused(call("measure", path, "--target", board), "small", "")


def test_unreadable_data_and_wrong_labels(call: Call, net: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(data.read_bytes()[:100])
    refused(call("optimize", net, "-d", tmp_path / "bad.npz", "-o", tmp_path / "out"), "cannot read", "numpy.savez")
    with np.load(data) as file:
        np.savez(tmp_path / "labels.npz", inputs=file["inputs"], labels=file["labels"] + 100)
    refused(
        call("optimize", net, "-d", data, "--test", tmp_path / "labels.npz", "-o", tmp_path / "out"), "labels go from 100", "count from 0"
    )


# Files


def test_a_full_disk(call: Call, net: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, contents: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    refused(
        call("optimize", net, "-d", data, "-o", tmp_path / "out", "--no-measure"), "cannot write to .*No space left on device", "disk full"
    )
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_written(call: Call, net: Path, data: Path, integer: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused(call("optimize", net, "-d", data, "-o", tmp_path / "file"), "is a file, the results need a folder", "-o")
    refused(call("emit", integer, "-o", "/proc/nowhere"), "cannot write to")
    refused(call("run", integer, "-d", data, "-o", tmp_path / "file" / "x.npz"), "cannot write to")
    assert (tmp_path / "file").read_text() == "mine"


# Ends that come early


def test_interruption(call: Call, net: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ctrl_c(*arguments: object, **options: object) -> NoReturn:
        raise KeyboardInterrupt

    def killed(*arguments: object, **options: object) -> NoReturn:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal was not heard")

    for replacement in (ctrl_c, killed):
        monkeypatch.setattr(pipeline, "emit_tflite", replacement)
        answer = call("optimize", net, "-d", data, "-o", tmp_path / "out")
        assert (answer.code, answer.out) == (130, "") and answer.err.strip().endswith("error: interrupted")
        assert not (tmp_path / "out").exists()


def test_a_defect_is_told_as_one(call: Call, net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*arguments: object) -> NoReturn:
        raise KeyError("oops")

    monkeypatch.setattr(pipeline, "load", broken)
    refused(call("show", net), "unexpected KeyError: 'oops'", "a defect of Edgewright; `edgewright --traceback", code=1)
    with pytest.raises(SystemExit):
        main(["--traceback", "show", str(net)])
    assert TRACEBACK in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 2, "out of memory"),
        (OSError(errno.EIO, "Input/output error"), 2, "Input/output error"),
        (ToolError("no tool", hint="get it"), 2, "no tool"),
        (ModelError("bad \x1b[2J name"), 2, r"bad \?\[2J name"),
    ],
)
def test_other_failures(call: Call, net: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, message: str) -> None:
    def fail(*arguments: object) -> NoReturn:
        raise error

    monkeypatch.setattr(pipeline, "load", fail)
    answer = call("show", net)
    assert answer.code == code and answer.out == "" and re.search(f"error: {message}", answer.err)


def test_what_libraries_print_is_talk(call: Call, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = pipeline.load

    def loud(source: object) -> Graph:
        print("a library talks")  # noqa: T201
        return load(source)

    monkeypatch.setattr(pipeline, "load", loud)
    answer = call("show", net, "--json")
    assert answer.json() and "a library talks" in answer.err


def test_names_do_not_steer_the_terminal(call: Call, tmp_path: Path) -> None:
    graph = ZOO["conv_same_relu"]()
    hostile = Graph("net\x1b[2J[/red]", graph.level, graph.inputs, graph.outputs, graph.nodes, graph.values, graph.constants)
    answer = call("show", save_graph(hostile, tmp_path / "net.npz"))
    assert answer.code == 0 and "\x1b" not in answer.out and "[/red]" in answer.out


# In a process of its own


def process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgewright", *map(str, arguments)]
    return subprocess.run(command, text=True, stderr=subprocess.PIPE, timeout=120, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("verb", ["--help", "targets", "doctor"])
def test_light_verbs_never_load_torch(verb: str) -> None:
    code = (
        "import sys\nfrom edgewright.cli import main\n"
        f"try:\n    main([{verb!r}])\nexcept SystemExit as end:\n"
        "    heavy = {'torch', 'onnx', 'onnxruntime', 'ai_edge_litert', 'jinja2'} & set(sys.modules)\n"
        "    sys.exit(str(heavy) if heavy or end.code else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_answers_in_half_a_second() -> None:
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert process("--help", stdout=subprocess.DEVNULL).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) < 0.5


def test_nobody_reads_the_output() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = process("targets", stdout=write)
    finally:
        os.close(write)
    assert done.returncode == 1 and TRACEBACK not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_the_output_can_take_no_more() -> None:
    with open("/dev/full", "w") as full:
        done = process("targets", "--json", stdout=full)
    assert (
        done.returncode == 2 and done.stderr.startswith("error: No space left on device\nhint:") and "Exception ignored" not in done.stderr
    )


def test_output_that_knows_ascii_only(tmp_path: Path) -> None:
    done = process("passes", stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and done.stderr == ""


def test_c_libraries_that_print_do_not_spoil_json(net: Path) -> None:
    code = (
        "import os, sys\nfrom edgewright import pipeline\nfrom edgewright.cli import main\nload = pipeline.load\n"
        "def loud(source):\n    os.write(1, b'written by C')\n    return load(source)\n"
        "pipeline.load = loud\nmain(['show', sys.argv[1], '--json'])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(net)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["macs"] > 0 and "written by C" in done.stderr
