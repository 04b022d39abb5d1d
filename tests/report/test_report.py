"""The report as data, text and page: the right figures, and names that cannot do harm."""

from __future__ import annotations

import html.parser
import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

from edgewright.data import Data
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.lower.program import make_program
from edgewright.ops.add import Add
from edgewright.ops.dense import Dense
from edgewright.ops.relu import Relu
from edgewright.passes.registry import Line
from edgewright.report.accuracy import Accuracy, compare, real_outputs, signal_to_noise_db
from edgewright.report.figures import changes, headline
from edgewright.report.page import _ticks, memory_map, to_html
from edgewright.report.report import Report, live_bytes, make_report
from edgewright.report.table import printable, shortened
from edgewright.report.text import to_text
from edgewright.run.run import Run
from edgewright.run.vela import VelaReport
from edgewright.targets.target import load_target

HOSTILE = '<script>alert("1")</script>\'"&[/red]\x1b[2J\u202e{{7*7}}'
QUANT = Quant.per_tensor(0.1)


def integer_network(layer: str = "fc", name: str = "net") -> Graph:
    b = GraphBuilder(name, Level.INTEGER)
    x = b.input("x", (None, 16), DType.INT8, QUANT)
    b.state("memory", (1, 4), b.constant("zero", np.zeros((1, 4), np.int8), quant=QUANT), DType.INT8, QUANT)
    weight = b.constant("weight", np.ones((4, 16), np.int8), quant=Quant.per_axis(np.ones(4, np.float32), 0))
    hidden = b.node(Dense(), [x, weight], name=layer, dtype=DType.INT8, quants=[QUANT])
    total = b.node(Add(), [hidden, "memory"], name="sum", dtype=DType.INT8, quants=[QUANT])
    b.write_state("memory", total)
    return b.finish([b.node(Relu(), [total], name="relu", dtype=DType.INT8, quants=[QUANT])])


def float_network(name: str = "net") -> Graph:
    b = GraphBuilder(name)
    x = b.input("x", (None, 16))
    return b.finish([b.node(Relu(), [b.node(Dense(), [x, b.constant("w", np.ones((4, 16), np.float32))], name="fc")], name="relu")])


def report(
    layer: str = "fc", name: str = "net", *, board: str = "cortex-m4", equal: bool | None = True, notes: tuple[str, ...] = ()
) -> Report:
    program = make_program(integer_network(layer, name), load_target(board))
    run = Run(
        outputs=[],
        inferences=2,
        where=board,
        seconds=1.0,
        instructions=(1000, 1002),
        instructions_per_layer=(700, 200, 100),
        cycles_modelled=1500,
        cycles_per_layer=(1000, 300, 200),
        latency_modelled_ms=0.25,
        peak_stack_bytes=64,
        sections={"code": 1000, "library": 0, "rodata": 200, "data": 8, "bss": 40},
        notes=notes,
    )
    accuracy = Accuracy(
        samples=10, samples_from="test", accuracy_before=0.9, accuracy_after=0.875, agreement=0.95, signal_to_noise_db=31.25
    )
    return make_report(
        float_network(name),
        program.graph,
        program.target,
        recipe="w8a8",
        steps=["a", "b"],
        lines=[Line("fold", "did", layer, "folded"), Line("prune", "skipped", layer, "no room")],
        test=Data((np.zeros((10, 16), np.float32),), np.zeros(10, np.int64), "test.npz"),
        program=program,
        accuracy=accuracy,
        files={"net.tflite": b"123"},
        run=run,
        equal=equal,
    )


def test_the_figures() -> None:
    found = report()
    assert (found.before.weight_bytes, found.after.weight_bytes, found.after.macs) == (256, 64, 64)
    assert found.measured is not None and found.measured.instructions_per_inference == 1001
    assert (found.measured.flash_bytes, found.measured.ram_bytes) == (1208, 112)
    assert [(layer.name, layer.kind, layer.shape, layer.instructions, layer.cycles) for layer in found.layers] == [
        ("fc", "Dense", "4", 700, 1000),
        ("sum", "Add", "4", 200, 300),
        ("relu", "Relu", "4", 100, 200),
    ]
    memory = found.memory
    assert memory is not None and memory.steps == ["fc", "sum", "relu"]
    assert {block.name: block.kind for block in memory.blocks} == {"x": "input", "memory": "state", "fc": "activation", "relu": "output"}
    assert max(live_bytes(memory, step) for step in range(3)) == memory.lower_bound_bytes
    assert [layer.live_bytes for layer in found.layers] == [live_bytes(memory, step) for step in range(3)]
    assert found.test is not None and (found.test.count, found.test.labelled) == (10, True)


def test_the_headline_and_the_changes() -> None:
    rows = dict(headline(report()))
    assert rows["accuracy on 10 test samples"] == "87.50 %"
    assert rows["on cortex-m4, 2 inferences"] == "same bytes as evaluated"
    assert rows["RAM in all"] == "112 B" and rows["instructions an inference"] == "1,001" and rows["latency, modelled"] == "0.25 ms"
    assert dict(headline(report(board="microbit")))["RAM in all"].startswith("112 B of 16,384 (1 %)")
    assert dict(headline(report(equal=False)))["on cortex-m4, 2 inferences"] == "OTHER BYTES than evaluated"
    listed = {label: (before, after) for label, before, after in changes(report())}
    assert listed["weight bytes"] == ("256", "64") and listed["accuracy on 10 test samples"] == ("90.00 %", "87.50 %")


def test_json_comes_back() -> None:
    found = report(HOSTILE)
    assert Report.model_validate_json(json.dumps(found.model_dump(mode="json"))) == found


def test_text_holds_every_layer_and_is_safe_for_a_terminal() -> None:
    text = to_text(report(HOSTILE, notes=("note [bold]",)))
    assert "\x1b" not in text and "\u202e" not in text
    for part in ('<script>alert("1")</script>', "[/red]", "no room", "net.tflite", "1,001", "90.00 %", "note [bold]"):
        assert part in text
    assert printable("a\x1b[31m\x07\n") == "a\ufffd[31m\ufffd\n"


def test_text_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewright.report.table.Console", lambda **_: Console(width=40, file=io.StringIO(), force_terminal=True))
    assert "fc" in to_text(report())


class Page(html.parser.HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_is_whole_loads_nothing_and_runs_nothing() -> None:
    source = to_html(report(notes=("a note",)))
    page = Page(source)
    assert page.tags.count("tr") >= 3 + 4 + 3 and "svg" in page.tags and page.tags.count("rect") == 4
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in ("src", "href") or name.startswith("on")]
    assert not re.search(r"https?://|url\(|@import", source)
    text = " ".join(page.words)
    for part in ("87.50 %", "same bytes as evaluated", "no placement of these buffers", "a note", "no room", "net.tflite", "1,001"):
        assert part in text


def test_hostile_names_stay_text() -> None:
    plain, hostile = Page(to_html(report())), Page(to_html(report(HOSTILE, HOSTILE)))
    assert plain.tags == hostile.tags, "a name must not become a tag"
    assert [name for name, _ in plain.attributes] == [name for name, _ in hostile.attributes]
    assert '<script>alert("1")</script>' in " ".join(hostile.words)
    shown, usual = " ".join(hostile.words), " ".join(plain.words)
    assert "{{7*7}}" in shown and shown.count("49") == usual.count("49"), "a name must not be computed"


def test_names_that_are_no_unicode_can_be_written() -> None:
    to_html(report("\udcff")).encode("utf-8", "replace")
    json.dumps(report("\udcff").model_dump(mode="json")).encode()


def test_a_report_of_a_float_network_has_no_map() -> None:
    graph = float_network()
    found = make_report(graph, graph, load_target("host"), recipe="float16")
    page = Page(to_html(found))
    assert "svg" not in page.tags
    assert found.memory is None and found.measured is None and found.layers[0].live_bytes is None
    assert "instructions" not in to_text(found)


def test_the_map_stays_inside_its_frame() -> None:
    memory = report().memory
    assert memory is not None
    drawn = memory_map(memory)
    for block in drawn["blocks"]:
        assert float(block["x"]) >= drawn["left"] and float(block["x"]) + float(block["w"]) <= drawn["right"] + 0.2
        assert float(block["y"]) >= 0 and float(block["y"]) + float(block["h"]) <= drawn["floor"] + 0.2


@pytest.mark.parametrize("most", [0, 1, 5, 76, 13440, 1 << 20])
def test_ticks_end_at_the_top(most: int) -> None:
    ticks = _ticks(most)
    assert ticks[0] == 0 and ticks[-1] == most and len(ticks) <= 10 and ticks == sorted(set(ticks))


def test_labels_keep_their_end() -> None:
    assert [shortened("blocks/conv_1", letters) for letters in (1, 7, 13)] == ["…", "…conv_1", "blocks/conv_1"]


def test_the_verdict_of_an_accelerator() -> None:
    verdict = VelaReport(
        "ethos-u55-128", "Ethos_U55, Shared_Sram", 1234, 1000, 0.125, 2048, 4096, 0, 999, 3, 1, (f"Gelu {HOSTILE!r}: no",), {}, 1.0
    )
    found = make_report(float_network(), integer_network(), load_target("ethos-u55-128"), npu=verdict)
    rows = dict(headline(found))
    assert rows["operators on ethos-u55-128"] == "3 of 4" and rows["cycles there, modelled"] == "1,234" and rows["SRAM there"] == "2,048 B"
    assert "left to the CPU" in to_text(found) and "Left to the CPU" in to_html(found) and "<script>alert" not in to_html(found)


# Accuracy


def test_comparing_float_with_integers() -> None:
    b = GraphBuilder("net", Level.INTEGER)
    grid = Quant.per_tensor(1 / 64)
    b.input("x", (None, 16), DType.INT8, grid)
    b.constant("w", np.ones((4, 16), np.int8), quant=Quant.per_axis(np.ones(4, np.float32), 0))
    after = b.finish([b.node(Dense(), ["x", "w"], dtype=DType.INT8, quants=[Quant.per_tensor(0.25, -128)])])
    x = np.random.default_rng(0).uniform(0, 1, (32, 16)).astype(np.float32)
    found = compare(float_network(), after, Data((x,), np.zeros(32, np.int64)))
    assert found.accuracy_before == found.accuracy_after == found.agreement == 1.0
    assert found.signal_to_noise_db is not None and found.signal_to_noise_db > 30
    assert compare(float_network(), float_network(), Data((x,))).signal_to_noise_db is None


def test_what_is_no_classifier_has_no_agreement() -> None:
    b = GraphBuilder("net")
    graph = b.finish([b.node(Relu(), [b.input("x", (None, 16))])])
    found = compare(graph, graph, Data((np.ones((3, 16), np.float32),)))
    assert found.agreement is None and found.accuracy_after is None and found.samples == 3


def test_a_regression_has_errors_in_place_of_answers() -> None:
    x = np.random.default_rng(0).normal(size=(32, *float_network().value(float_network().inputs[0]).shape[1:])).astype(np.float32)
    outputs = real_outputs(float_network(), Data((x,)))[0]
    found = compare(float_network(), float_network(), Data((x,), targets=outputs + np.float32(0.25)))
    assert found.agreement is None and found.accuracy_after is None
    assert found.error_before == found.error_after == pytest.approx(0.25, abs=1e-6)
    assert found.r2_after == pytest.approx(float(np.mean(1 - 0.25**2 / outputs.var(0))), abs=1e-4)
    tokens = compare(float_network(), float_network(), Data((x,), targets=np.zeros((32, 1), np.float32)))
    assert tokens.error_after is None, "targets of another shape are for a metric of the user's own"


def test_signal_to_noise() -> None:
    assert signal_to_noise_db(np.array([10.0]), np.array([9.0])) == pytest.approx(20.0)
    assert signal_to_noise_db(np.zeros(3), np.ones(3)) is None
    assert signal_to_noise_db(np.zeros((0, 3)), np.zeros((0, 3))) is None
