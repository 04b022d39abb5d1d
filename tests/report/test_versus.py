"""Two networks beside each other: layers that give the same shape meet, nothing is lost or counted twice, and the page is whole."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from edgewright.cli import main
from edgewright.ir.graph import Graph
from edgewright.ir.serial import save_graph
from edgewright.ops.cost import cost
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.report.versus import compare, versus_data, versus_page, versus_rows
from tests.zoo import ZOO, clean_zoo


def pair() -> tuple[Graph, Graph]:
    standard = clean_zoo(ZOO["residual_batch_norm"]())
    return standard, load_passes()["separate_convolutions"].function(standard, Context(), worst=1.0)


def test_layers_meet_by_what_they_give():
    first, second = pair()
    found = compare(first, second)
    for side, graph in enumerate((first, second)):
        parts = [row[side] for row in found.rows if row[side] is not None]
        assert [part.name for part in parts] == [node.name for node in graph.nodes if node.name in {part.name for part in parts}]
        assert sum(part.macs for part in parts) == cost(graph).macs == found.totals[side]["macs"]
        assert sum(part.parameters for part in parts) == cost(graph).parameters
    both = [(a, b) for a, b in found.rows if a is not None and b is not None]
    assert all(a.shape == b.shape for a, b in both)
    assert [a.name for a, b in both] == [a.name for a, _ in found.rows if a is not None], "every layer finds its replacement"
    assert {b.kind for a, b in found.rows if a is None} == {"depthwise"}
    assert all(part.cycles is None for row in found.rows for part in row if part)
    assert json.loads(json.dumps(versus_data(found)))["totals"][0]["cycles"] is None


def test_cycles_and_names_that_would_be_markup():
    first, second = pair()
    cycles = tuple({node.name: 10 * index for index, node in enumerate(graph.nodes)} for graph in (first, second))
    found = compare(first, second, cycles, "<board>")
    assert found.totals[1]["cycles"] == 10 * sum(range(len(second.nodes)))
    assert versus_rows(found)[-1][4] == f"{found.totals[0]['cycles']:,}"

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)

    page = versus_page(found)
    reader = Reader()
    reader.feed(page)
    bars = sum(bool(getattr(part, figure)) for row in found.rows for part in row if part for figure in ("macs", "parameters", "cycles"))
    assert reader.tags.count("rect") == bars and reader.tags.count("script") == 0
    assert "&lt;board&gt;" in page and "<board>" not in page


def test_on_the_command_line(tmp_path, capsys):
    for graph, name in zip(pair(), ("a", "b"), strict=True):
        save_graph(graph, tmp_path / f"{name}.npz")
    words = ["show", str(tmp_path / "a.npz")]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--against", str(tmp_path / "b.npz"), "--target", "cortex-m4", "--page", str(tmp_path / "picture.html"), "--json"])
    assert not ended.value.code
    found = json.loads(capsys.readouterr().out)
    assert found["target"] == "cortex-m4" and found["totals"][1]["cycles"] > 0
    assert (tmp_path / "picture.html").read_text().count("<svg") == 1
    with pytest.raises(SystemExit) as ended:
        main([*words, "--page", str(tmp_path / "picture.html")])
    assert ended.value.code == 2 and "--against" in capsys.readouterr().err
