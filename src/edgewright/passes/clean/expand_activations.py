"""Activations that only C and ONNX have become operators that every runtime has."""

from __future__ import annotations

import numpy as np

from edgewright.analysis.linear import Edits
from edgewright.ir.graph import Graph, Node
from edgewright.ops.add import Add
from edgewright.ops.hard_sigmoid import HardSigmoid
from edgewright.ops.mul import Mul
from edgewright.ops.sigmoid import Sigmoid
from edgewright.ops.silu import SiLU
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float", exact=True)
def expand_activations(graph: Graph, ctx: Context) -> Graph:
    """Write SiLU as Mul and Sigmoid, and HardSigmoid as sums and products around a clamp to 0 … 6, for which .tflite has int8 kernels.

    C has one table of 256 bytes for either, which is faster and rounds once: run this only for the sake of .tflite.
    """
    edits = Edits(graph)
    for node in graph.nodes:
        if isinstance(node.op, SiLU):
            _expand_silu(node, edits)
            ctx.did(node.name, "SiLU made a Sigmoid and a Mul")
        elif isinstance(node.op, HardSigmoid):
            _expand_hard_sigmoid(node, node.op, edits, ctx)
    return edits.apply() if edits.nodes else graph


def _expand_silu(node: Node, edits: Edits) -> None:
    gate = edits.like(node.outputs[0], f"{node.name}_sigmoid")
    sigmoid = Node(edits.fresh_node(f"{node.name}_sigmoid"), Sigmoid(), node.inputs, (gate,))
    edits.nodes[node.name] = [sigmoid, Node(node.name, Mul(), (node.inputs[0], gate), node.outputs)]


def _expand_hard_sigmoid(node: Node, op: HardSigmoid, edits: Edits, ctx: Context) -> None:
    """relu6(6 alpha x + 6 beta) / 6, without the first product where it is by 1."""
    with np.errstate(over="ignore"):
        slope, offset = np.float32(6 * op.alpha), np.float32(6 * op.beta)
    if not np.isfinite(slope) or not np.isfinite(offset):
        ctx.skipped(node.name, f"alpha {op.alpha} or beta {op.beta} is too large for six times as much in float32")
        return
    x, parts = node.inputs[0], []
    if slope != 1:
        scaled = edits.like(node.outputs[0], f"{node.name}_scaled")
        factor = edits.constant(edits.fresh(f"{node.name}_slope"), np.array([slope]))
        parts.append(Node(edits.fresh_node(f"{node.name}_scaled"), Mul(), (x, factor), (scaled,)))
        x = scaled
    clamped = edits.like(node.outputs[0], f"{node.name}_clamped")
    addend = edits.constant(edits.fresh(f"{node.name}_offset"), np.array([offset]))
    sixth = edits.constant(edits.fresh(f"{node.name}_sixth"), np.array([1 / 6], np.float32))
    parts.append(Node(edits.fresh_node(f"{node.name}_clamped"), Add("relu6"), (x, addend), (clamped,)))
    edits.nodes[node.name] = [*parts, Node(node.name, Mul(), (clamped, sixth), node.outputs)]
    ctx.did(node.name, f"HardSigmoid made {'a Mul, ' if slope != 1 else ''}an Add that clamps, and a Mul")
