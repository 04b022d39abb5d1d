"""`edgewright show`: a network in text, node by node."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgewright import pipeline
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph
from edgewright.ir.show import show_graph
from edgewright.ops.cost import cost
from edgewright.report.report import make_report
from edgewright.report.table import columns, printable, render
from edgewright.report.text import measured_text
from edgewright.report.versus import compare, versus_data, versus_page, versus_rows
from edgewright.targets.target import Target, load_target
from edgewright.verbs.result import Result


def show(
    model: str, *, target: str | None = None, prefer: str = "speed", against: str | None = None, page: str | Path | None = None
) -> Result:
    """Shapes, operators and cost of ``model``; what it is predicted to cost on ``target``.

    ``against``: another model, to stand beside it layer by layer, as text and in an HTML file ``page``.
    """
    graph = pipeline.load(model)
    if against is not None:
        return _versus(graph, pipeline.load(against), None if target is None else load_target(target).preferring(prefer), page)
    if page is not None:
        raise RecipeError("--page draws two networks and got one", hint="add --against OTHER_MODEL")
    total = cost(graph)
    edges = {name: {"shape": graph.value(name).shape, "dtype": graph.value(name).dtype.value} for name in (*graph.inputs, *graph.outputs)}
    data: dict[str, Any] = {
        "name": graph.name,
        "level": graph.level.value,
        "inputs": {name: edges[name] for name in graph.inputs},
        "outputs": {name: edges[name] for name in graph.outputs},
        "states": [state.read for state in graph.states],
        "macs": total.macs,
        "parameters": total.parameters,
        "weight_bytes": total.weight_bytes,
        "nodes": [asdict(row) for row in total.nodes],
    }
    sums = f"{total.macs:,} multiply-accumulates, {total.parameters:,} parameters, {total.weight_bytes:,} weight bytes"
    text = printable(f"{show_graph(graph)}  total  {sums}")
    if target is None:
        return Result(data, text)
    board = load_target(target).preferring(prefer)
    program = pipeline.lower(graph, board)
    report = make_report(graph, program.graph, board, program=program)
    data["predicted"] = None if report.predicted is None else report.predicted.model_dump(mode="json")
    data["layers"] = [layer.model_dump(mode="json") for layer in report.layers]
    return Result(data, f"{text}\n\n{measured_text(report)}")


def _versus(first: Graph, second: Graph, target: Target | None, page: str | Path | None) -> Result:
    cycles = None
    if target is not None:
        spent = [{layer.name: layer.cost.cycles for layer in pipeline.predict(graph, target=target).layers} for graph in (first, second)]
        known = [{name: number for name, number in layers.items() if number is not None} for layers in spent]
        cycles = (known[0], known[1]) if all(known) else None
    found = compare(first, second, cycles, None if target is None or cycles is None else target.name)
    titles = ("layer", "kind", "macs", "parameters", "cycles")
    text = render([columns((*titles, *titles), versus_rows(found), numbers=(2, 3, 4, 7, 8, 9))])
    if page is not None:
        page = Path(page)
        (written,) = pipeline.write_files({page.name: versus_page(found).encode()}, page.parent)
        text += f"\n\npicture: {written}"
    return Result(versus_data(found), text)
