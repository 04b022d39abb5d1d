"""Activations that need a table or several operators become ones that are clamps."""

from __future__ import annotations

import numpy as np

from edgewright.analysis.linear import Edits
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph, Node
from edgewright.ir.operator import Operator
from edgewright.ops.gelu import GELU
from edgewright.ops.hard_swish import HardSwish
from edgewright.ops.mul import Mul
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.ops.silu import SiLU
from edgewright.passes.registry import Context, graph_pass

CHOICES: dict[str, Operator] = {"hard_swish": HardSwish(), "relu": Relu(), "relu6": Relu6()}
GELU_SLOPE = 1.702
"""GELU is nearly x sigmoid(1.702 x), which is SiLU of 1.702 x over 1.702 (arXiv:1606.08415)."""


@graph_pass(level="float", exact=False)
def swap_activations(graph: Graph, ctx: Context, *, silu: str = "hard_swish", gelu: str = "relu") -> Graph:
    """Replace SiLU and GELU by hard_swish, relu or relu6 ("keep": not at all).

    hard_swish is near SiLU and has int8 kernels in .tflite (arXiv:1905.02244); GELU takes it at 1.702 times the input, whose factors
    fold_scalars merges with the layers around. relu and relu6 cost nothing where a layer stands before them, and more accuracy. Repair
    with distill or fine_tune.
    """
    for name, chosen in (("silu", silu), ("gelu", gelu)):
        if chosen not in (*CHOICES, "keep"):
            raise RecipeError(f"unknown activation {chosen!r} for {name}", hint=f"one of {', '.join(CHOICES)}, keep")
    edits = Edits(graph)
    for node in graph.nodes:
        chosen = silu if isinstance(node.op, SiLU) else gelu if isinstance(node.op, GELU) else "keep"
        if chosen == "keep":
            continue
        if isinstance(node.op, GELU) and chosen == "hard_swish":
            edits.nodes[node.name] = _scaled(node, edits)
        else:
            edits.nodes[node.name] = [Node(node.name, CHOICES[chosen], node.inputs, node.outputs)]
        ctx.did(node.name, f"{node.op.kind} made {chosen}")
    return edits.apply() if edits.nodes else graph


def _scaled(node: Node, edits: Edits) -> list[Node]:
    """hard_swish(1.702 x) / 1.702."""
    names = []
    for stem, factor in (("wide", GELU_SLOPE), ("narrow", 1 / GELU_SLOPE)):
        names.append(edits.constant(edits.fresh(f"{node.name}_{stem}"), np.array([factor], np.float32)))
    before, after = (edits.like(node.outputs[0], f"{node.name}_{stem}") for stem in ("scaled", "swish"))
    return [
        Node(edits.fresh_node(f"{node.name}_scaled"), Mul(), (node.inputs[0], names[0]), (before,)),
        Node(edits.fresh_node(f"{node.name}_swish"), HardSwish(), (before,), (after,)),
        Node(node.name, Mul(), (after, names[1]), node.outputs),
    ]
