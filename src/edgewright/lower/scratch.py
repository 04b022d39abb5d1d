"""How much of the arena an operator's kernel needs while it runs."""

from __future__ import annotations

from edgewright.ir.graph import Graph, Node
from edgewright.targets.target import Target
from edgewright.targets.workspace import STACK_BYTES, workspace_bytes


def scratch_bytes(graph: Graph, node: Node, target: Target) -> int:
    """Bytes of arena scratch for ``node`` with the kernels of ``target``; 0 where it needs none or finds room on the stack."""
    needed = workspace_bytes(node.op, graph.ins(node), graph.outs(node), target.kernels)
    return needed if needed > STACK_BYTES else 0
