"""Padding becomes part of the convolution or pooling behind it."""

from __future__ import annotations

import dataclasses

from edgewright.analysis.bounds import Bounds, value_bounds
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph, Level, Node
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.convolution import Padding
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.pad import Pad
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float|integer", exact=True)
def fold_padding(graph: Graph, ctx: Context) -> Graph:
    """Fold spatial padding with zero into the convolutions that read it, and into maximum pooling whose input is never below the padding.

    Average pooling does not count its own padding, so padding before it stays; padding of channels stays as well.
    """
    bounds: dict[str, Bounds] | None = None
    nodes: list[Node] = []
    folded = 0
    for node in graph.nodes:
        pad = graph.producers.get(node.inputs[0]) if node.inputs else None
        if pad is None or not isinstance(pad.op, Pad) or not isinstance(node.op, (Conv2D, DepthwiseConv2D, MaxPool2D)):
            nodes.append(node)
            continue
        if bounds is None:
            bounds = value_bounds(graph)
        amount = _spatial(graph, pad, pad.op)
        if isinstance(node.op, MaxPool2D):
            why = _why_not_pool(graph, pad, pad.op, node.op, bounds)
        else:
            why = "" if _fills_zero(graph, pad, pad.op) else "it fills with another value than zero"
        if amount is None:
            why = "it pads other axes than height and width, or mirrors"
        if why or amount is None:
            ctx.skipped(pad.name, f"not folded into {node.name!r}: {why}")
            nodes.append(node)
            continue
        own = node.op.padding
        total: Padding = ((own[0][0] + amount[0][0], own[0][1] + amount[0][1]), (own[1][0] + amount[1][0], own[1][1] + amount[1][1]))
        nodes.append(dataclasses.replace(node, op=dataclasses.replace(node.op, padding=total), inputs=(pad.inputs[0], *node.inputs[1:])))
        ctx.did(pad.name, f"folded into {node.name!r}")
        folded += 1
    return rebuild(graph, nodes=nodes) if folded else graph


def _spatial(graph: Graph, pad: Node, op: Pad) -> Padding | None:
    """((top, bottom), (left, right)) where nothing else of an NHWC tensor is padded, on one grid; else None."""
    before, after = graph.value(pad.inputs[0]), graph.value(pad.outputs[0])
    if op.mode != "constant" or len(op.padding) != 4 or op.padding[0] != (0, 0) or op.padding[3] != (0, 0) or before.quant != after.quant:
        return None
    return op.padding[1], op.padding[2]


def _fills_zero(graph: Graph, pad: Node, op: Pad) -> bool:
    """Whether it fills with what a convolution fills with: real zero."""
    if graph.level is not Level.INTEGER:
        return op.value == 0.0
    outs = graph.outs(pad)
    return outs[0].quant is not None and op.fill_integer(outs) == outs[0].quant.zero_point[0]


def _why_not_pool(graph: Graph, pad: Node, op: Pad, pool: MaxPool2D, bounds: dict[str, Bounds]) -> str:
    """Padded places must never win: every window has a real element, and none of those lies below the filling."""
    fill = op.fill_integer(graph.outs(pad)) if graph.level is Level.INTEGER else op.value
    if fill > bounds[pad.inputs[0]][0]:
        return "elements below the filling would win where now the filling does"
    amount = _spatial(graph, pad, op)
    x = graph.value(pad.inputs[0])
    if amount is None:
        return ""
    for axis in (0, 1):
        size, start = int(x.shape[axis + 1] or 0), pool.padding[axis][0] + amount[axis][0]
        steps = (size + start + amount[axis][1] + pool.padding[axis][1] - pool.kernel[axis]) // pool.stride[axis] + 1
        first_end, last_begin = pool.kernel[axis] - start, (steps - 1) * pool.stride[axis] - start
        if first_end <= 0 or last_begin >= size:
            return "some windows would see nothing but padding"
    return ""
