"""How much of the arena an operator's kernel needs while it runs."""

from __future__ import annotations

from edgewright.ir.graph import Graph, Node
from edgewright.targets.stored import layer_can_be_frugal, layer_workspace_bytes
from edgewright.targets.target import Target
from edgewright.targets.workspace import STACK_BYTES


def scratch_bytes(graph: Graph, node: Node, target: Target, *, frugal: bool = False) -> int:
    """Bytes of arena scratch for ``node`` with the kernels of ``target``; 0 where it needs none or finds room on the stack: where
    another memory is faster than that, it lies in the arena.

    ``frugal``: with a kernel that needs no working memory, where there is one.
    """
    if frugal and layer_can_be_frugal(graph, node, target.kernels, target.sparse_share):
        return 0
    needed = layer_workspace_bytes(graph, node, target.kernels, target.sparse_share)
    return needed if needed > (STACK_BYTES if target.stack_is_fast else 0) else 0


def on_stack(graph: Graph, node: Node, target: Target) -> bool:
    """Whether the working memory of ``node`` lies on the stack."""
    needed = layer_workspace_bytes(graph, node, target.kernels, target.sparse_share)
    return needed > 0 and scratch_bytes(graph, node, target) == 0
