"""`edgewright show`: a network in text, node by node."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edgewright import pipeline
from edgewright.ir.show import show_graph
from edgewright.ops.cost import cost
from edgewright.report.report import make_report
from edgewright.report.table import printable
from edgewright.report.text import measured_text
from edgewright.targets.target import load_target
from edgewright.verbs.result import Result


def show(model: str, *, target: str | None = None, prefer: str = "speed") -> Result:
    """Shapes, operators and cost of ``model``; what it is predicted to cost on ``target``."""
    graph = pipeline.load(model)
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
