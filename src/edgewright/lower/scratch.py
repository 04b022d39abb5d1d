"""How much of the arena an operator's kernel needs while it runs."""

from __future__ import annotations

from edgewright.ir.graph import Graph, Node
from edgewright.targets.target import Target
from edgewright.targets.workspace import STACK_BYTES, can_be_frugal, workspace_bytes


def scratch_bytes(graph: Graph, node: Node, target: Target, *, frugal: bool = False) -> int:
    """Bytes of arena scratch for ``node`` with the kernels of ``target``; 0 where it needs none or finds room on the stack: where
    another memory is faster than that, it lies in the arena.

    ``frugal``: with a kernel that needs no working memory, where there is one.
    """
    if frugal and can_be_frugal(node.op, graph.ins(node), graph.outs(node), target.kernels):
        return 0
    needed = workspace_bytes(node.op, graph.ins(node), graph.outs(node), target.kernels)
    return needed if needed > (STACK_BYTES if target.stack_is_fast else 0) else 0


def on_stack(graph: Graph, node: Node, target: Target) -> bool:
    """Whether the working memory of ``node`` lies on the stack."""
    needed = workspace_bytes(node.op, graph.ins(node), graph.outs(node), target.kernels)
    return needed > 0 and scratch_bytes(graph, node, target) == 0
