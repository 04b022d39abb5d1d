"""Batch normalization that no neighbour takes becomes operators that have an integer form."""

from __future__ import annotations

import numpy as np

from edgewright.analysis.linear import Edits
from edgewright.ir.graph import Graph, Node
from edgewright.ops.add import Add
from edgewright.ops.batch_norm import BatchNorm
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.mul import Mul
from edgewright.passes.affine import affine
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float", exact=True)
def replace_batchnorm(graph: Graph, ctx: Context) -> Graph:
    """Replace batch normalization by a 1x1 depthwise convolution (images), or by Mul and Add; run it after fold_batchnorm.

    Both have an integer form; the convolution quantizes channel by channel, and takes the rectifier behind it.
    """
    edits = Edits(graph)
    for node in graph.nodes:
        part = affine(graph, node) if isinstance(node.op, BatchNorm) else None
        if part is None:
            continue
        scale, offset = part.scale.astype(np.float32), part.offset.astype(np.float32)
        stem = node.name
        if graph.value(part.data).rank == 4:
            weight = edits.constant(edits.fresh(f"{stem}_weight"), scale.reshape(-1, 1, 1, 1))
            bias = edits.constant(edits.fresh(f"{stem}_bias"), offset)
            edits.nodes[stem] = [Node(stem, DepthwiseConv2D(), (part.data, weight, bias), node.outputs)]
            ctx.did(stem, "batch normalization made a 1x1 depthwise convolution")
            continue
        factor = edits.constant(edits.fresh(f"{stem}_scale"), scale)
        addend = edits.constant(edits.fresh(f"{stem}_offset"), offset)
        product = edits.like(node.outputs[0], f"{stem}_scaled")
        scaling = Node(edits.fresh_node(f"{stem}_scaled"), Mul(), (part.data, factor), (product,))
        edits.nodes[stem] = [scaling, Node(stem, Add(), (product, addend), node.outputs)]
        ctx.did(stem, "batch normalization made a Mul and an Add")
    return edits.apply() if edits.nodes else graph
