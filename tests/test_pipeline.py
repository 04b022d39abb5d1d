"""The road in Python: load, optimize, lower, emit, measure, write."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import edgewright
from edgewright import pipeline
from edgewright.data import Data
from edgewright.errors import BudgetError, DataError, EdgewrightError, ModelError, RecipeError, TargetError, ToolError, UnsupportedError
from edgewright.ir.graph import Graph, Level
from edgewright.ir.serial import save_graph
from edgewright.ops.evaluate import dequantize_outputs, evaluate, evaluate_in_order
from edgewright.passes.registry import PASSES, Context, graph_pass
from edgewright.recipe import RECIPES, Recipe, Step
from edgewright.targets.target import load_target
from tests.zoo import INTEGER_ZOO, ZOO, integer_inputs, quantize_zoo, zoo_inputs


def samples(graph: Graph, count: int = 20) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return [np.asarray(array, np.float32) for array in zoo_inputs(graph, count)]


@pytest.fixture
def registry() -> Iterator[dict[str, object]]:
    before = dict(PASSES)
    yield PASSES  # type: ignore[misc]
    PASSES.clear()
    PASSES.update(before)


# Load


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "net.pb").write_bytes(b"x")
    (tmp_path / "net.onnx").mkdir()
    for path, message in (
        (tmp_path / "none.onnx", "there is no model at"),
        (tmp_path / "net.pb", "unknown kind of model '.pb'"),
        (tmp_path, "is a folder"),
        (tmp_path / "net.onnx", "is a folder"),
    ):
        for given in (path, str(path)):
            with pytest.raises(ModelError, match=message) as caught:
                pipeline.load(given)
            assert ".tflite, .onnx, .pt2, .npz" in caught.value.hint


@pytest.mark.parametrize("ending", [".onnx", ".tflite", ".pt2", ".npz"])
@pytest.mark.parametrize("contents", [b"", b"\0\xff" * 300, b"PK\x03\x04 no archive"])
def test_files_that_are_no_models(tmp_path: Path, ending: str, contents: bytes) -> None:
    path = tmp_path / f"net{ending}"
    path.write_bytes(contents)
    with pytest.raises(EdgewrightError) as caught:
        pipeline.load(path)
    assert caught.value.hint


def test_every_door_gives_a_graph(tmp_path: Path) -> None:
    graph = ZOO["conv_same_relu"]()
    assert pipeline.load(graph) is graph
    assert pipeline.load(save_graph(graph, tmp_path / "net.npz")).digest == graph.digest
    assert pipeline.load(torch.nn.Linear(3, 2), [torch.zeros(1, 3)]).level is Level.FLOAT


# Optimize


def test_from_float_to_program() -> None:
    graph = ZOO["inverted_bottleneck"]()
    steps: list[tuple[str, int, int]] = []
    result = edgewright.optimize(graph, data=samples(graph), test=samples(graph), progress=lambda *step: steps.append(step))
    assert result.source is graph and result.graph.level is Level.INTEGER and result.program is not None
    assert result.graph.value(result.graph.inputs[0]).shape[0] is None, "files keep a symbolic batch"
    assert result.program.graph.value(result.graph.inputs[0]).shape[0] == 1
    assert result.data is not None and result.data.count == 20 and result.test is not None
    assert steps[-1][0] == "quantize_static" and all(0 <= number < count for _, number, count in steps)
    assert [line.technique for line in result.lines if line.action == "did"]


@pytest.mark.parametrize("recipe", ["float16", "dynamic"])
def test_recipes_that_leave_floats_have_no_program(recipe: str) -> None:
    graph = ZOO["dense_autoencoder"]()
    result = edgewright.optimize(graph, recipe=recipe)
    assert result.program is None and result.data is None
    with pytest.raises(UnsupportedError, match="still computes in float") as caught:
        edgewright.emit(result, ["c"])
    assert "w8a8" in caught.value.hint
    with pytest.raises(UnsupportedError, match="only integer networks"):
        edgewright.measure(result, samples(graph))
    assert set(edgewright.emit(result, ["tflite", "onnx"])) == {f"{graph.name}.tflite", f"{graph.name}.onnx"}


def test_without_data_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "run_recipe", lambda *_: pytest.fail("work was done"))
    with pytest.raises(RecipeError, match="quantize_static needs calibration data and got none") as caught:
        edgewright.optimize(ZOO["conv_same_relu"]())
    assert caught.value.hint.startswith("give --data")


def test_bad_arguments_are_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "run_recipe", lambda *_: pytest.fail("work was done"))
    graph = ZOO["conv_same_relu"]()
    good = {"data": samples(graph)}
    for changed, error, message in (
        ({"target": "cortex-m44"}, TargetError, "unknown target 'cortex-m44'"),
        ({"recipe": "w8a9"}, RecipeError, "there is no recipe 'w8a9'"),
        ({"recipe": Recipe("r", (Step("quantise_static"),))}, RecipeError, "there is no pass 'quantise_static'"),
        ({"recipe": Recipe("r", (Step("quantize_static", {"range": "mse"}),))}, RecipeError, "no option 'range'"),
        ({"data": [np.zeros((3, 3), np.float32)]}, DataError, "has shape"),
        ({"test": "nowhere.npz"}, DataError, "there is no data"),
    ):
        with pytest.raises(error, match=message) as caught:
            edgewright.optimize(graph, **{**good, **changed})  # type: ignore[arg-type]
        assert caught.value.hint


def test_an_integer_network_needs_no_data_and_says_what_was_passed_over() -> None:
    graph = quantize_zoo(ZOO["separable_keyword_spotter"]())
    result = edgewright.optimize(graph, target="cortex-m4")
    assert result.program is not None
    passed_over = [line for line in result.lines if line.technique == "quantize_static"]
    assert [(line.action, line.detail) for line in passed_over] == [("skipped", "the network is already at the integer level")]
    inputs = integer_inputs(ZOO["separable_keyword_spotter"](), graph, 5)
    assert np.array_equal(evaluate(graph, inputs)[0], evaluate(result.graph, inputs)[0])


def test_a_repeated_block_runs_until_nothing_changes(registry: dict[str, object]) -> None:
    seen: list[str] = []

    @graph_pass(level="any", exact=True)
    def first(graph: Graph, ctx: Context) -> Graph:
        seen.append("first")
        return (
            Graph(f"{graph.name}+", graph.level, graph.inputs, graph.outputs, graph.nodes, graph.values, graph.constants)
            if len(graph.name) < 6
            else graph
        )

    @graph_pass(level="any", exact=True)
    def second(graph: Graph, ctx: Context) -> Graph:
        seen.append("second")
        return graph

    graph = ZOO["conv_same_relu"]()
    graph = Graph("net", graph.level, graph.inputs, graph.outputs, graph.nodes, graph.values, graph.constants)
    recipe = Recipe("r", (Step("first", repeat=True), Step("second", repeat=True), Step("first")))
    assert pipeline.run_recipe(graph, recipe, Context()).name == "net+++"
    assert seen == ["first", "second"] * 4 + ["first"]


def test_a_pass_for_integers_on_floats_is_refused(registry: dict[str, object]) -> None:
    @graph_pass(level="integer", exact=True)
    def later(graph: Graph, ctx: Context) -> Graph:
        return graph

    with pytest.raises(RecipeError, match="pass 'later' takes a integer graph, the network is at the float level"):
        pipeline.run_recipe(ZOO["conv_same_relu"](), Recipe("r", (Step("later"),)), Context())


def test_the_named_recipes_are_sound() -> None:
    for recipe in RECIPES.values():
        assert pipeline.check_recipe(recipe) is recipe


def test_what_is_asked_for_decides_how_activations_are_written(needs_cc: None) -> None:
    """Every format that optimize was told of can be written; without .tflite, C and ONNX keep the one table."""
    graph = ZOO["squeeze_and_excite"]()
    for formats, expanded in ((None, True), (["tflite"], True), (["c", "onnx"], False)):
        result = edgewright.optimize(graph, data=samples(graph), formats=formats)
        assert ("HardSigmoid" in {node.op.kind for node in result.graph.nodes}) is not expanded
        steps = [step.name for step in result.recipe.steps]
        assert steps[:2] == ["dequantize_weights", "expand_activations" if expanded else RECIPES["w8a8"].steps[1].name]
        edgewright.emit(result, formats or pipeline.FORMATS)
        inputs = integer_inputs(graph, result.graph, 4)
        run = edgewright.measure(result, inputs)
        for mine, theirs in zip(evaluate(result.graph, inputs), run.outputs, strict=True):
            np.testing.assert_array_equal(theirs.reshape(mine.shape), mine)


def test_recipes_that_need_no_expansion_get_none() -> None:
    graph = ZOO["squeeze_and_excite"]()
    assert edgewright.optimize(graph, recipe="float16").recipe is RECIPES["float16"]
    mine = Recipe("mine", (Step("expand_activations"), Step("quantize_static")))
    assert edgewright.optimize(graph, recipe=mine, data=samples(graph)).recipe is mine
    bare = edgewright.optimize(graph, recipe=Recipe("bare", (Step("quantize_static"),)), data=samples(graph)).recipe
    assert [step.name for step in bare.steps] == ["expand_activations", "quantize_static"]
    plain = ZOO["conv_same_relu"]()
    assert edgewright.optimize(plain, data=samples(plain)).recipe is RECIPES["w8a8"]


def test_what_tflite_cannot_express_is_found_after_the_clean_up_and_before_the_rest() -> None:
    seen: list[list[str]] = []
    graph = ZOO["residual_batch_norm"]()
    audited = pipeline.run_recipe(
        graph, RECIPES["w8a8"], Context(data=Data(tuple(samples(graph)))), None, lambda found: seen.append([n.op.kind for n in found.nodes])
    )
    assert audited.level is Level.QUANTIZED and len(seen) == 1 and "BatchNorm" not in seen[0]


# Emit


def test_formats() -> None:
    graph = quantize_zoo(ZOO["conv_same_relu"]())
    program = edgewright.lower(graph, "cortex-m4")
    names = {f"{graph.name}.tflite", f"{graph.name}.onnx", f"c/{graph.name}.c", f"c/{graph.name}.h"}
    for given in (graph, program):
        files = edgewright.emit(given)
        assert names <= set(files) and all(isinstance(contents, bytes) and contents for contents in files.values())
    assert set(edgewright.emit(program, ["tflite", "tflite"])) == {f"{graph.name}.tflite"}
    for formats, activations, message in (
        (["tflit"], "int8", "unknown format 'tflit'"),
        ([], "int8", "no format"),
        (["onnx"], "int9", "unknown type 'int9'"),
    ):
        with pytest.raises(RecipeError, match=message):
            edgewright.emit(program, formats, onnx_activations=activations)
    with pytest.raises(UnsupportedError, match="still computes in float"):
        edgewright.emit(ZOO["conv_same_relu"](), ["c"])


# Measure


@pytest.mark.parametrize("name", ["inverted_bottleneck", "streaming", "float_edges", "multi_input", "multi_output"])
def test_the_host_gives_the_evaluation_s_bytes(needs_cc: None, name: str) -> None:
    animal = {**ZOO, **INTEGER_ZOO}[name]()
    graph = quantize_zoo(animal, clean=True)
    program = edgewright.lower(graph, "host")
    inputs = integer_inputs(animal, graph, 6)
    run = edgewright.measure(program, inputs)
    assert run.inferences == 6 and run.instructions is None
    for mine, theirs in zip(evaluate_in_order(graph, inputs), run.outputs, strict=True):
        assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs)


def test_measuring_real_samples_on_an_emulated_core(needs_arm: None) -> None:
    graph = ZOO["separable_keyword_spotter"]()
    result = edgewright.optimize(graph, target="cortex-m4", data=samples(graph))
    run = edgewright.measure(result, Data(tuple(samples(graph, 2))))
    assert run.where == "cortex-m4" and run.instructions_per_inference and len(run.instructions_per_layer or ()) == len(run.layer_names)
    reals = dequantize_outputs(result.graph, run.outputs)[0]
    assert np.allclose(reals, evaluate(graph, samples(graph, 2))[0], atol=0.1)
    other = edgewright.measure(result, Data(tuple(samples(graph, 2))), target="cortex-m0plus")
    assert np.array_equal(run.outputs[0], other.outputs[0]) and (other.instructions_per_inference or 0) > (
        run.instructions_per_inference or 0
    )


def test_measuring_where_it_cannot_be() -> None:
    graph = quantize_zoo(ZOO["conv_same_relu"]())
    program = edgewright.lower(graph, "host")
    with pytest.raises(UnsupportedError, match="ethos-u55-128 runs no C"):
        edgewright.measure(program, integer_inputs(ZOO["conv_same_relu"](), graph, 1), target="ethos-u55-128")
    with pytest.raises(DataError, match="takes 1 inputs, got 0"):
        edgewright.measure(program, [])
    with pytest.raises(DataError, match="is float32, the network takes int8"):
        edgewright.measure(program, samples(graph, 1))


def test_a_network_that_does_not_fit() -> None:
    graph = quantize_zoo(ZOO["conv_same_relu"]())
    tiny = load_target("cortex-m4").model_copy(update={"name": "tiny", "ram_bytes": 512, "stack_bytes": 256})
    with pytest.raises(BudgetError, match="too many") as caught:
        edgewright.lower(graph, tiny)
    assert "the peak stands at" in caught.value.hint


# Write


def test_files_are_written_below_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    files = {"a.txt": b"1", "c/kernels/b.h": b"2"}
    assert pipeline.write_files(files, folder) == [folder / "a.txt", folder / "c/kernels/b.h"]
    assert pipeline.write_files({"a.txt": b"3"}, folder) == [folder / "a.txt"]
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == {
        "a.txt": b"3",
        "c/kernels/b.h": b"2",
    }
    assert not list(folder.glob(".edgewright-*"))


@pytest.mark.parametrize("name", ["../escape.txt", "/escape.txt", "a/../../escape.txt"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="leads out of its folder"):
        pipeline.write_files({"good.txt": b"", name: b""}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stage", ["write", "replace"])
@pytest.mark.parametrize("existed", [False, True])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, existed: bool) -> None:
    folder = tmp_path / "out"
    if existed:
        pipeline.write_files({"a.txt": b"old"}, folder)
    write = Path.write_bytes

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write_some(path: Path, contents: bytes) -> int:
        if path.name == "b.txt":
            write(path, contents[:1])
            fail()
        return write(path, contents)

    if stage == "write":
        monkeypatch.setattr(Path, "write_bytes", write_some)
    else:
        monkeypatch.setattr(pipeline.os, "replace", fail)
    with pytest.raises(ToolError, match="cannot write to .*out: No space left on device") as caught:
        pipeline.write_files({"a.txt": b"new", "b.txt": b"new"}, folder)
    assert "disk full" in caught.value.hint
    left = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == ({"a.txt": b"old"} if existed else {})
    assert folder.exists() == existed


def test_a_file_in_the_way_and_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/edgewright-out")):
        with pytest.raises(ToolError, match="cannot write to"):
            pipeline.write_files({"a.txt": b"1"}, folder)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pipeline.write_files({"a.txt": b"1"}, tmp_path / "out")
    assert not list(tmp_path.iterdir())


# The package


def test_the_package_offers_the_road_and_nothing_else() -> None:
    assert set(edgewright.__all__) == {"__version__", *edgewright._PIPELINE}
    assert all(getattr(edgewright, name) is getattr(pipeline, name) for name in edgewright._PIPELINE)
    with pytest.raises(AttributeError, match="has no attribute 'optimise'"):
        importlib.import_module("edgewright").optimise  # noqa: B018
