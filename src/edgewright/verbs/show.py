"""`edgewright show`: a network in text, node by node."""

from __future__ import annotations

from dataclasses import asdict

from edgewright import pipeline
from edgewright.ir.show import show_graph
from edgewright.ops.cost import cost
from edgewright.report.table import printable
from edgewright.verbs.result import Result


def show(model: str) -> Result:
    """Shapes, operators and cost of ``model``."""
    graph = pipeline.load(model)
    total = cost(graph)
    edges = {name: {"shape": graph.value(name).shape, "dtype": graph.value(name).dtype.value} for name in (*graph.inputs, *graph.outputs)}
    data = {
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
    return Result(data, printable(f"{show_graph(graph)}  total  {sums}"))
