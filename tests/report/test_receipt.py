"""The receipt: every layer answers for what was asked of it, and whatever was not got has a reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edgewright import pipeline
from edgewright.data import Data
from edgewright.errors import EdgewrightError, ModelError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level, Structure
from edgewright.recipe import Recipe, Step, load_recipe
from edgewright.report.receipt import UNEXPLAINED, Receipt, make_receipt, receipt_rows
from edgewright.targets.target import load_target
from edgewright.verbs.optimize import optimize
from edgewright.verbs.receipt import receipt
from tests.zoo import ZOO, zoo_inputs

SMALL = ("separable_keyword_spotter", "squeeze_and_excite", "unet", "streaming")


def data_of(graph: Graph) -> Data:
    return Data(tuple(np.asarray(array, np.float32) for array in zoo_inputs(graph, 40)))


def receipt_of(graph: Graph, recipe: str | Recipe, target: str = "cortex-m4") -> tuple[Receipt, pipeline.Optimized]:
    result = pipeline.optimize(graph, recipe=recipe, target=target, data=data_of(graph), formats=["c"])
    return make_receipt(result.graph, result.target, result.recipe, result.lines, result.program), result


def item(made: Receipt, layer: str, aspect: str):
    (found,) = [entry for row in made.layers if row.layer == layer for entry in row.items if entry.aspect == aspect]
    return found


@pytest.mark.parametrize("recipe", ["w8a8", "w4a8", "ternary-a8", "mixed-activations", "dynamic", "float16"])
@pytest.mark.parametrize("name", SMALL)
def test_nothing_falls_back_in_silence(name: str, recipe: str) -> None:
    graph = ZOO[name]()
    try:
        result = pipeline.optimize(graph, recipe=recipe, target="cortex-m4", data=data_of(graph), formats=["tflite"])
    except EdgewrightError:
        pytest.skip("refused, which is not silent")
    made = make_receipt(result.graph, result.target, result.recipe, result.lines, result.program)
    runs = result.graph if result.program is None else result.program.executed
    assert [row.layer for row in made.layers] == [node.name for node in runs.nodes]
    for layer, found in made.broken():
        assert found.why and found.why != UNEXPLAINED, (layer, found)
    for row in made.layers:
        node = next(node for node in runs.nodes if node.name == row.layer)
        assert bool(node.op.weight_inputs) == any(entry.aspect == "weights" for entry in row.items)
        assert result.program is None or any(entry.aspect == "kernel" for entry in row.items)


def test_bits_that_were_got_and_bits_that_were_not() -> None:
    graph = ZOO["separable_keyword_spotter"]()
    made, result = receipt_of(graph, "w8a8")
    weighted = [node.name for node in result.graph.nodes if node.op.weight_inputs]
    assert all(item(made, name, "weights").got == "int8" and item(made, name, "activations").kept for name in weighted)
    dynamic = pipeline.optimize(graph, recipe="dynamic", formats=["tflite"])
    few = make_receipt(dynamic.graph, dynamic.target, dynamic.recipe, dynamic.lines)
    left = [(layer, found) for layer, found in few.broken() if found.aspect == "weights"]
    assert left and all(found.asked == "int8" and found.got == "float32" and "has only" in found.why for _, found in left)


def _masked(graph: Graph, keep: bool) -> Graph:
    """Every second weight of each layer pruned; ``keep``: whether the numbers obey."""
    constants = {}
    for node in graph.nodes:
        for index in node.op.weight_inputs:
            array = graph.array(node.inputs[index])
            mask = (np.arange(array.size) % 2 == 0).reshape(array.shape)
            constants[node.inputs[index]] = Constant(np.where(mask, array, 0).astype(array.dtype) if keep else array, Structure(mask=mask))
    return rebuild(graph, constants=constants)


def test_masks_are_held_against_the_numbers_and_against_what_c_stores() -> None:
    graph = ZOO["separable_keyword_spotter"]()
    made, result = receipt_of(_masked(graph, keep=True), "w8a8")
    masks = {node.name: result.graph.constants[node.inputs[1]].structure for node in result.graph.nodes if node.op.weight_inputs}
    pruned = [name for name, held in masks.items() if held is not None and held.mask is not None and not held.mask.all()]
    assert pruned and all(item(made, name, "sparsity").kept for name in pruned)
    storage = [item(made, name, "storage") for name in pruned]
    assert all(found.kept or found.why for found in storage) and all(found.asked.startswith("fewer than") for found in storage)
    broken = dataclasses.replace(result.graph, constants={
        name: Constant(np.ones_like(held.array), held.structure) if held.structure is not None else held
        for name, held in result.graph.constants.items()
    })  # fmt: skip
    spoilt = make_receipt(broken, result.target, result.recipe, result.lines)
    assert all(not item(spoilt, name, "sparsity").kept and item(spoilt, name, "sparsity").why for name in pruned)


def test_codebooks_and_patterns() -> None:
    graph = ZOO["separable_keyword_spotter"]()
    (name, *_) = [node.inputs[1] for node in graph.nodes if node.op.kind == "Dense"]
    array = np.where(np.arange(graph.array(name).size).reshape(graph.array(name).shape) % 4 < 2, 0.5, 0.0).astype(np.float32)
    structure = Structure(pattern=(2, 4), codebook=np.float32([0.0, 0.5]))
    layer = next(node.name for node in graph.nodes if name in node.inputs)
    target = load_target("host")
    for numbers, kept in ((array, True), (graph.array(name), False)):
        changed = rebuild(graph, constants={name: Constant(numbers, structure)})
        made = make_receipt(changed, target, Recipe("none", ()), ())
        assert item(made, layer, "sparsity").kept is kept and item(made, layer, "codebook").kept is kept


def test_kernels_that_are_not_the_best_ones_are_told() -> None:
    made, _ = receipt_of(ZOO["unet"](), "w8a8", "cortex-m55")
    found = [entry for row in made.layers for entry in row.items if entry.aspect == "kernel"]
    assert any(entry.kept and "(helium)" in entry.got for entry in found)
    behind = [entry for entry in found if not entry.kept]
    assert behind and all(entry.why.startswith("there is no ") and entry.why.endswith("among the helium kernels") for entry in behind)


def test_a_step_that_found_nothing_to_do_says_so() -> None:
    graph = ZOO["separable_keyword_spotter"]()
    recipe = load_recipe("w8a8")
    made, _ = receipt_of(graph, Recipe("mine", (Step("balance_joins"), *recipe.steps)))
    notes = {entry.step: entry.note for entry in made.steps}
    assert notes["balance_joins"] == "found nothing to do" and notes["quantize_static"] == "" and "fold_constants" not in notes


def test_the_verb_reads_what_optimize_wrote(tmp_path: Path) -> None:
    graph = ZOO["separable_keyword_spotter"]()
    (model,) = pipeline.write_files(pipeline.emit(graph, ["onnx"]), tmp_path)
    np.savez(tmp_path / "d.npz", inputs=data_of(graph).inputs[0])
    done = optimize(
        str(model), target="cortex-m4", data=str(tmp_path / "d.npz"), test=None, recipe="w4a8", settings=(), out=tmp_path / "out",
        formats=None, onnx_activations="int8", seed=0, ram_budget=None, run=False,
    )  # fmt: skip
    answer = receipt(tmp_path / "out")
    assert answer.data == done.data["receipt"] and answer.data == receipt(tmp_path / "out" / "report.json").data
    assert "got (! not as asked)" in answer.text and "got (! not as asked)" in done.text
    assert "<h2>Receipt</h2>" in (tmp_path / "out" / "report.html").read_text()
    rows = receipt_rows(Receipt.model_validate(answer.data))
    assert len(rows) == len(answer.data["layers"]) and any("weights int4" in asked for _, asked, _, _ in rows)
    for text, message in (("{}", "is no report: "), ("no json", "is no report: 1 entries")):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ModelError, match=message):
            receipt(tmp_path / "bad.json")
    without = json.loads((tmp_path / "out" / "report.json").read_text()) | {"receipt": None}
    (tmp_path / "old.json").write_text(json.dumps(without))
    with pytest.raises(ModelError, match="has no receipt"):
        receipt(tmp_path / "old.json")
    with pytest.raises(ModelError, match="cannot read"):
        receipt(tmp_path / "nowhere")


def test_float_graphs_have_levels_of_their_own() -> None:
    graph = ZOO["separable_keyword_spotter"]()
    made = make_receipt(graph, load_target("host"), Recipe("none", ()), ())
    assert graph.level is Level.FLOAT and all(found.kept for row in made.layers for found in row.items)
