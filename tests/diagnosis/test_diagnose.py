"""The diagnosis names the cause of what was done to a network on purpose, its remedy works, and it finds nothing where nothing is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

import edgewright
from benchmarks.sabotage import ARCHITECTURES, EXAMPLE, SABOTAGES, Subject, applies, handwritten_digits, quantized, spoken_digits
from edgewright import pipeline
from edgewright.data import Data
from edgewright.diagnosis.diagnose import diagnose, recipe_of
from edgewright.diagnosis.finding import CAUSES
from edgewright.diagnosis.pair import pair
from edgewright.diagnosis.remedy import apply_remedy, halves
from edgewright.diagnosis.survivors import surviving_rows
from edgewright.errors import DataError, ModelError, ToolError, UnsupportedError
from edgewright.evaluation.outputs import real_outputs, signal_to_noise_db
from edgewright.ir.graph import Level
from edgewright.passes import check_recipe
from edgewright.recipe import load_recipe, parse_recipe
from edgewright.report.diagnosis import diagnosis_html, diagnosis_text, make_diagnosis_report, recipe_line
from edgewright.verbs.diagnose import diagnose as diagnose_verb

FAST = {
    "calibrated in other units": "plain",
    "calibrated on noise": "plain",
    "glitches in the data": "plain",
    "uneven channels, one scale": "dense",
    "unequal branches": "branches",
    "other batch-norm statistics": "dense",
    "tiny rows, large biases": "plain",
    "pruned afterwards": "dense",
    "channels silenced": "plain",
    "2 bits in two layers": "dense",
}
"""Way of sabotage → the network that it is done to in every run of the tests; the other pairs are slow."""


def subject(name: str) -> Subject:
    return spoken_digits() if name == "spoken_digits" else handwritten_digits(name)


def every_pair() -> list[object]:
    found = []
    for way in SABOTAGES:
        for name in ("spoken_digits", *ARCHITECTURES):
            marks = [] if FAST[way] == name else [pytest.mark.slow]
            found.append(pytest.param(way, name, marks=marks, id=f"{way}, {name}"))
    return found


@pytest.mark.parametrize(("way", "name"), every_pair())
def test_the_right_cause_is_named_and_its_remedy_brings_the_loss_back(way: str, name: str) -> None:
    victim = subject(name)
    if not applies(way, victim):
        pytest.skip("not for this network")
    sabotage, cause = SABOTAGES[way]
    case = sabotage(victim)
    found = diagnose(case.floating, case.quantized, case.judges)
    assert found.cause == cause
    assert found.findings[0].explains > 0.5 and found.findings[0].evidence
    remedy = apply_remedy(
        case.floating,
        case.quantized,
        found,
        case.judges,
        lambda graph, recipe, data: edgewright.optimize(graph, recipe=recipe, data=data, formats=["c"]).graph,
    )
    assert remedy.recovered >= 0.8, (remedy.figure, remedy.recovered)


def test_every_cause_of_the_list_is_tried() -> None:
    assert {cause for _, cause in SABOTAGES.values()} == {*CAUSES} and len(SABOTAGES) == 10 and {*FAST} == {*SABOTAGES}


@pytest.mark.parametrize("name", ["spoken_digits", "plain", "dense", "branches", pytest.param("residual", marks=pytest.mark.slow)])
def test_nothing_is_found_where_nothing_is_wrong(name: str) -> None:
    victim = subject(name)
    found = diagnose(victim.graph, quantized(victim.graph, victim.calibration), victim.judges)
    assert found.cause == "healthy" and not found.findings
    report = make_diagnosis_report(found)
    assert "healthy" in diagnosis_text(report) and not report.layers


@pytest.mark.parametrize("name", ["plain", "dense", "spoken_digits"])
def test_four_bits_well_rounded_are_healthy_too(name: str) -> None:
    victim = subject(name)
    graph = edgewright.optimize(victim.graph, recipe="w4a8", data=victim.calibration, formats=["c"]).graph
    assert diagnose(victim.graph, graph, victim.judges).cause == "healthy"


def test_files_of_either_format_are_diagnosed_alike(tmp_path: Path) -> None:
    """The int8 network comes back from .tflite, and as float arithmetic from QDQ."""
    victim = subject("plain")
    case = SABOTAGES["pruned afterwards"][0](victim)
    for kind in ("tflite", "onnx"):
        (path,) = pipeline.write_files(pipeline.emit(case.quantized, [kind]), tmp_path)
        again = edgewright.load(path)
        assert diagnose(victim.graph, again, case.judges).cause == "sparsity drift"


class _Samples(CalibrationDataReader):
    def __init__(self, inputs: np.ndarray) -> None:
        self._feeds = iter([{"mfcc": inputs[start : start + 20]} for start in range(0, len(inputs), 20)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


@pytest.mark.parametrize("per_channel", [True, False])
def test_what_another_tool_quantized_is_matched(tmp_path: Path, per_channel: bool) -> None:
    """ONNX Runtime leaves batch norm behind the convolutions where it is not told otherwise."""
    with np.load(EXAMPLE / "calibration.npz", allow_pickle=False) as file:
        samples = _Samples(file["inputs"])
    quantize_static(EXAMPLE / "spoken_digits.onnx", tmp_path / "q.onnx", samples, per_channel=per_channel, activation_type=QuantType.QUInt8)
    source, theirs = edgewright.load(EXAMPLE / "spoken_digits.onnx"), edgewright.load(tmp_path / "q.onnx")
    few = spoken_digits().judges.take(slice(0, 100))
    assert diagnose(source, theirs, few).cause == "healthy"
    both = pair(source, theirs)
    ratio = signal_to_noise_db(real_outputs(theirs, few)[0], real_outputs(both.graph(), few)[0])
    assert ratio is None or ratio > 40
    assert {node.name for node in source.nodes if node.op.weight_inputs} <= {*both.layers}


def test_a_float_network_may_hold_quantized_weights() -> None:
    victim = subject("plain")
    dynamic = edgewright.optimize(victim.graph, recipe="dynamic", formats=["tflite"]).graph
    assert dynamic.level is Level.QUANTIZED
    assert diagnose(dynamic, quantized(victim.graph, victim.calibration), victim.judges).cause == "healthy"


def test_the_pair_computes_what_the_quantized_network_does() -> None:
    for name in ("spoken_digits", "branches"):
        victim = subject(name)
        graph = quantized(victim.graph, victim.calibration)
        both, few = pair(victim.graph, graph), victim.judges.take(slice(0, 50))
        exact = real_outputs(graph, few)[0]
        ratio = signal_to_noise_db(exact, real_outputs(both.graph(), few)[0])
        assert ratio is None or ratio > 30
        assert np.allclose(real_outputs(both.graph([]), few)[0], real_outputs(victim.graph, few)[0], atol=1e-3)


def test_channels_that_are_gone_are_found_by_what_is_left() -> None:
    """The clean-up of integers removes channels that quantization made constant; the pair puts zeros in their place."""
    victim = subject("plain")
    case = SABOTAGES["channels silenced"][0](victim)
    smaller = edgewright.optimize(case.quantized, recipe="clean").graph
    assert any(smaller.value(name).shape != case.quantized.value(name).shape for name in smaller.constants if name in case.quantized.values)
    both, few = pair(victim.graph, smaller), case.judges.take(slice(0, 50))
    ratio = signal_to_noise_db(real_outputs(smaller, few)[0], real_outputs(both.graph(), few)[0])
    assert ratio is not None and ratio > 25
    rows = np.random.default_rng(0).normal(size=(9, 5))
    assert surviving_rows(rows[[1, 2, 6]] * [[2.0], [0.5], [1.0]], rows).tolist() == [1, 2, 6]


def test_the_remedy_is_a_recipe_that_can_be_run() -> None:
    case = SABOTAGES["unequal branches"][0](subject("branches"))
    found = diagnose(case.floating, case.quantized, case.judges)
    recipe = recipe_of(found.case.pair, found.findings[:1])
    again = check_recipe(parse_recipe(recipe_line(recipe)))
    assert [(s.name, dict(s.options)) for s in again.steps] == [(s.name, dict(s.options)) for s in recipe.steps]
    assert "balance_joins" in recipe_line(recipe)


def test_the_page_has_pictures_and_no_script() -> None:
    case = SABOTAGES["glitches in the data"][0](subject("plain"))
    report = make_diagnosis_report(diagnose(case.floating, case.quantized, case.judges))
    hostile = report.model_copy(update={"name": '<script>alert("1")</script>'})
    page = diagnosis_html(hostile)
    assert "<script" not in page and page.count("<svg") == 1 + len(report.histograms) and len(report.histograms) >= 4
    assert all(sum(entry.counts) > 0 for entry in report.histograms)
    layers = {layer.name: layer for layer in report.layers}
    assert "(input)" in layers and all(layer.alone is None or layer.alone > -7 for layer in report.layers)
    assert "range outliers" in page and "ranges = &#34;percentile&#34;" in page


def pruned_afterwards(folder: Path) -> tuple[str, str]:
    """Paths of a float network and of what became of it; judges.npz beside them."""
    case = SABOTAGES["pruned afterwards"][0](subject("plain"))
    source, made = (
        str(pipeline.write_files(pipeline.emit(graph, [kind]), folder / kind)[0])
        for graph, kind in ((case.floating, "onnx"), (case.quantized, "tflite"))
    )
    np.savez(folder / "judges.npz", inputs=case.judges.inputs[0], labels=case.judges.labels)
    return source, made


def test_what_was_found_is_kept_where_the_mended_network_is_no_tflite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, made = pruned_afterwards(tmp_path)

    def refuse(*_: object) -> dict[str, bytes]:
        raise UnsupportedError("no such operator", hint="none")

    monkeypatch.setattr(pipeline, "emit", refuse)
    answer = diagnose_verb(source, made, data=str(tmp_path / "judges.npz"), fix=True, out=tmp_path / "out")
    assert "the mended network is not in .tflite: no such operator" in answer.text
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".html", ".toml"}


def test_the_verb_mends_and_writes_what_it_found(tmp_path: Path) -> None:
    source, made = pruned_afterwards(tmp_path)
    answer = diagnose_verb(source, made, data=str(tmp_path / "judges.npz"), fix=True, out=tmp_path / "out")
    assert answer.data["cause"] == "sparsity drift" and answer.data["mended"]["recovered"] > 0.8
    assert "sparsity drift" in answer.text and "accuracy brought back" in answer.text
    written = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert written == {".json", ".html", ".tflite", ".toml"}
    assert json.loads((tmp_path / "out" / "diagnosis.json").read_text()) == answer.data
    (mended,) = (tmp_path / "out").glob("*.tflite")
    assert diagnose_verb(source, str(mended), data=str(tmp_path / "judges.npz")).data["cause"] == "healthy"
    with pytest.raises(ToolError, match="is a file, the results need a folder"):
        diagnose_verb(source, made, data=str(tmp_path / "judges.npz"), out=mended)


def test_what_cannot_be_compared_is_refused() -> None:
    victim, other = subject("plain"), subject("dense")
    integers = quantized(victim.graph, victim.calibration)
    with pytest.raises(ModelError, match="is at the integer level, not in float"):
        pair(integers, integers)
    with pytest.raises(ModelError, match="is not quantized"):
        pair(victim.graph, victim.graph)
    with pytest.raises(ModelError, match="has no partner|no layer like|other inputs"):
        pair(other.graph, integers)
    with pytest.raises(DataError, match="too few to mend"):
        halves(Data((np.zeros((4, 2), np.float32),)))


def test_recipes_of_the_house_are_known_by_their_bits() -> None:
    victim = subject("plain")
    graph = edgewright.optimize(victim.graph, recipe=load_recipe("w4a8"), data=victim.calibration, formats=["c"]).graph
    recipe = recipe_of(pair(victim.graph, graph), [])
    steps = {step.name: step.options for step in recipe.steps}
    assert steps["quantize_static"]["weight_bits"] == 4 and "round_weights" in steps
