"""Convolutions become the operator that says best what they are."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgewright.analysis.linear import Edits
from edgewright.ir.graph import Graph, Level, Node
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.convolution import NO_PADDING
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float|integer", exact=True)
def specialize_convolutions(graph: Graph, ctx: Context) -> Graph:
    """Make a convolution with one group for each channel depthwise, and a depthwise one over a single channel plain.

    At the float level a 1x1 convolution of 1x1 images becomes a dense layer.
    """
    edits = Edits(graph)
    for node in graph.nodes:
        new = _depthwise(graph, node) or _plain(graph, node) or _dense(graph, node, edits)
        if new is not None:
            edits.nodes[node.name] = [new]
            ctx.did(node.name, f"{node.op.kind} made {new.op.kind}")
    return edits.apply() if edits.nodes else graph


def _depthwise(graph: Graph, node: Node) -> Node | None:
    op = node.op
    if not isinstance(op, Conv2D) or op.groups < 2 or op.groups != graph.value(node.inputs[0]).shape[3]:
        return None
    multiplier = int(graph.value(node.inputs[1]).shape[0] or 0) // op.groups
    return dataclasses.replace(node, op=DepthwiseConv2D(op.stride, op.padding, op.dilation, multiplier, op.activation))


def _plain(graph: Graph, node: Node) -> Node | None:
    op = node.op
    if not isinstance(op, DepthwiseConv2D) or graph.value(node.inputs[0]).shape[3] != 1 or op.multiplier == 1:
        return None
    return dataclasses.replace(node, op=Conv2D(op.stride, op.padding, op.dilation, 1, op.activation))


def _dense(graph: Graph, node: Node, edits: Edits) -> Node | None:
    op, ins = node.op, graph.ins(node)
    if graph.level is not Level.FLOAT or not isinstance(op, Conv2D) or op.groups != 1 or op.padding != NO_PADDING:
        return None
    if ins[0].shape[1:3] != (1, 1) or ins[1].shape[1:3] != (1, 1) or not graph.is_constant(ins[1].name):
        return None
    constant, shape = graph.constants[ins[1].name], (ins[1].shape[0] or 0, ins[1].shape[3] or 0)
    structure = constant.structure
    if structure is not None and structure.mask is not None:
        structure = dataclasses.replace(structure, mask=structure.mask.reshape(shape))
    weight = edits.constant(edits.replacing(ins[1].name), np.reshape(constant.array, shape), structure=structure, dtype=ins[1].dtype)
    return Node(node.name, Dense(op.activation), (node.inputs[0], weight, *node.inputs[2:]), node.outputs)
