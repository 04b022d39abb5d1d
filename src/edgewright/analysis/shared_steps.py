"""Which activations share a step size, and may get another."""

from __future__ import annotations

from edgewright.analysis.linear import linear
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Graph


def shared_steps(graph: Graph) -> dict[str, str]:
    """Activations whose step size may be learned → the name of one that must have the same.

    Inputs and outputs of the network keep theirs, and what an operator's arithmetic fixes, what is joined from several grids, and what
    operators read whose weights are none of a linear layer.
    """
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while parents.get(name, name) != name:
            name = parents[name]
        return name

    fixed = {*graph.inputs, *graph.kept, *graph.constants}
    for node in graph.nodes:
        if node.op.same_quant:
            data = [name for index, name in enumerate(node.inputs) if index not in node.op.index_inputs]
            for name in (*data, *node.outputs):
                parents[root(name)] = root(node.outputs[0])
        fixed |= {name for index, name in enumerate(node.outputs) if node.op.output_quant(graph.ins(node), index) is not None}
        if (node.op.weight_inputs or node.op.channel_inputs) and linear(graph, node) is None:
            fixed |= {*node.inputs, *node.outputs}
    grids: dict[str, set[Quant | None]] = {}
    for name, value in graph.values.items():
        grids.setdefault(root(name), set()).add(value.quant)
    still = {root(name) for name in fixed} | {name for name, quants in grids.items() if len(quants) > 1 or None in quants}
    return {name: root(name) for name in graph.values if root(name) not in still}
