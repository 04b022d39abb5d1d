"""Two networks side by side, layer by layer: multiply-accumulates, parameters and, for a target, cycles; as text, and as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from edgewright.ir.graph import Graph, Node
from edgewright.ops.cost import cost
from edgewright.report.table import shortened

FIGURES = ("macs", "parameters", "cycles")
TITLES = {"macs": "multiply-accumulates", "parameters": "parameters", "cycles": "cycles, modelled"}
LABEL, BAR, NUMBER, ROW, TOP = 250, 210, 80, 26, 44
"""Pixels: a layer's name, the longest bar, the number behind it, a layer's height, the head."""
LETTERS = 38


@dataclass(frozen=True)
class Part:
    """One layer of one network; ``cycles``: None where nobody knows them."""

    name: str
    kind: str
    shape: tuple[int, ...]
    macs: int
    parameters: int
    cycles: int | None


@dataclass(frozen=True)
class Versus:
    """Layers beside each other: the one or the other is missing where its network has nothing there. ``totals``: of either network."""

    names: tuple[str, str]
    rows: tuple[tuple[Part | None, Part | None], ...]
    totals: tuple[dict[str, int | None], dict[str, int | None]]
    target: str | None


def compare(first: Graph, second: Graph, cycles: tuple[Mapping[str, int], Mapping[str, int]] | None = None, target: str | None = None
            ) -> Versus:
    """Layers that multiply, or take cycles of their own, matched in order by the shape of what they give and then by what they are.

    ``cycles`` of each network's layers by node name, on ``target``; those of layers that lowering made count in the totals alone.
    """
    graphs = (first, second)
    found = [_parts(graph, None if cycles is None else cycles[index]) for index, graph in enumerate(graphs)]
    totals = [_totals(graph, None if cycles is None else cycles[index]) for index, graph in enumerate(graphs)]
    return Versus((first.name, second.name), tuple(_matched(*found)), (totals[0], totals[1]), target)


def _parts(graph: Graph, cycles: Mapping[str, int] | None) -> list[Part]:
    rows = {row.name: row for row in cost(graph).nodes}
    found = []
    for node in graph.nodes:
        row, spent = rows[node.name], None if cycles is None else cycles.get(node.name)
        if row.macs or row.parameters or spent:
            found.append(Part(node.name, _kind(node), graph.value(node.outputs[0]).sample_shape[1:], row.macs, row.parameters, spent))
    return found


def _kind(node: Node) -> str:
    return "depthwise" if node.op.kind == "DepthwiseConv2D" else node.op.kind


def _totals(graph: Graph, cycles: Mapping[str, int] | None) -> dict[str, int | None]:
    whole = cost(graph)
    return {"macs": whole.macs, "parameters": whole.parameters, "cycles": None if cycles is None else sum(cycles.values())}


def _matched(first: list[Part], second: list[Part]) -> list[tuple[Part | None, Part | None]]:
    rows: list[tuple[Part | None, Part | None]] = []
    keys = [[(part.shape, part.kind) for part in parts] for parts in (first, second)]
    for _, start, stop, begin, end in SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes():
        rows += _by_shape(first[start:stop], second[begin:end])
    return rows


def _by_shape(first: list[Part], second: list[Part]) -> list[tuple[Part | None, Part | None]]:
    rows: list[tuple[Part | None, Part | None]] = []
    keys = [[part.shape for part in parts] for parts in (first, second)]
    place = [0, 0]
    for start, begin, size in SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_matching_blocks():
        rows += [(part, None) for part in first[place[0] : start]] + [(None, part) for part in second[place[1] : begin]]
        rows += zip(first[start : start + size], second[begin : begin + size], strict=True)
        place = [start + size, begin + size]
    return rows


def versus_data(found: Versus) -> dict[str, Any]:
    """Plain values, for JSON."""
    rows = [{"first": first and asdict(first), "second": second and asdict(second)} for first, second in found.rows]
    return {"networks": found.names, "target": found.target, "layers": rows, "totals": found.totals}


def versus_rows(found: Versus) -> list[tuple[str, ...]]:
    """(layer, kind, macs, parameters, cycles) of the one, then of the other, as text; the totals come last."""
    rows = [(*_cells(first), *_cells(second)) for first, second in found.rows]
    totals = [("total", "", *(_text(total[figure]) for figure in FIGURES)) for total in found.totals]
    return [*rows, (*totals[0], *totals[1])]


def _cells(part: Part | None) -> tuple[str, ...]:
    if part is None:
        return ("",) * 5
    return shortened(part.name, LETTERS), part.kind, _text(part.macs), _text(part.parameters), _text(part.cycles)


def _text(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def versus_page(found: Versus) -> str:
    """One self-contained page: for each figure the bars of both networks' layers, on one scale. All text from the models is escaped."""
    panels = [_panel(found, figure, index) for index, figure in enumerate(_known(found))]
    width, height = LABEL + len(panels) * (BAR + NUMBER), TOP + ROW * len(found.rows) + 8
    rows = [
        {"y": TOP + ROW * index, "label": shortened((second or first or _NOBODY).name, LETTERS), "kinds": _both_kinds(first, second),
         "title": " against ".join(f"{part.name}, {part.kind}" for part in (first, second) if part)}
        for index, (first, second) in enumerate(found.rows)
    ]
    totals = [(TITLES[figure], *(total[figure] for total in found.totals), _ratio(found, figure)) for figure in _known(found)]
    return _template().render(v=found, panels=panels, rows=rows, totals=totals, width=width, height=height, label=LABEL, row=ROW)


_NOBODY = Part("", "", (), 0, 0, None)


def _both_kinds(first: Part | None, second: Part | None) -> str:
    kinds = [part.kind if part else "none" for part in (first, second)]
    return kinds[0] if kinds[0] == kinds[1] else f"{kinds[0]} → {kinds[1]}"


def _known(found: Versus) -> list[str]:
    return [figure for figure in FIGURES if all(total[figure] is not None for total in found.totals)]


def _ratio(found: Versus, figure: str) -> str:
    first, second = (total[figure] for total in found.totals)
    return "" if not first or second is None else f"{second / first:.3f}"


def _panel(found: Versus, figure: str, index: int) -> dict[str, Any]:
    """The bars of one figure, two a row."""
    left = LABEL + index * (BAR + NUMBER)
    numbers = [[getattr(part, figure) if part else None for part in pair] for pair in found.rows]
    most = max((number for pair in numbers for number in pair if number), default=1)
    bars = []
    for row, pair in enumerate(numbers):
        for side, number in enumerate(pair):
            if number:
                length = max(1.0, BAR * number / most)
                y = TOP + ROW * row + 2 + side * (ROW / 2 - 2)
                bars.append({"x": left, "y": f"{y:.1f}", "w": f"{length:.1f}", "side": side, "text_x": f"{left + length + 4:.1f}",
                             "text": f"{number:,}"})
    return {"title": TITLES[figure], "x": left, "bars": bars}


@cache
def _template() -> Template:
    source = resources.files("edgewright.report").joinpath("versus.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(source)
