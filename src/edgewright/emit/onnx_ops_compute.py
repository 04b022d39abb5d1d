"""How operators over channels or windows are written in ONNX: operator → function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.emit.onnx_writer import AXES_OPSET, Emit, Tensor, Writer
from edgewright.ir.graph import Node
from edgewright.ir.layout import Atom, Axes, Group, Layout
from edgewright.ir.layout_plan import (
    channels_first,
    locate,
    reduced,
    reordered,
    second,
    trailing,
)


def planes(writer: Writer, node: Node) -> tuple[str, Layout]:
    """Input 0 as (N, C, H, W), and its layout so."""
    layout = writer.layout(node.inputs[0])
    wanted = tuple(layout.seen[axis] for axis in channels_first(4))
    return writer.fetch(node.inputs[0], wanted), Layout(layout.seen, wanted)


def from_planes(writer: Writer, node: Node, layout: Layout, name: str) -> Tensor:
    """The output of a window operator."""
    sizes = writer.graph.value(node.outputs[0]).shape[1:]
    groups: list[Group] = [(Atom(int(size or 1)),) if size != 1 else () for size in sizes]
    return Tensor(name, Layout((layout.seen[0], *groups), (layout.seen[0], groups[2], groups[0], groups[1])))


def pads(padding: Sequence[Sequence[int]]) -> list[int]:
    """ONNX's order: all befores, then all afters."""
    return [pair[0] for pair in padding] + [pair[1] for pair in padding]


def _convolution(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    x, layout = planes(writer, node)
    depthwise = op.kind == "DepthwiseConv2D"
    weight = writer.weight(node.inputs[1], (0, 3, 1, 2))
    kernel = writer.graph.value(node.inputs[1]).shape[1:3]
    bias = [writer.weight(name, (0,)) for name in node.inputs[2:]]
    channels = int(writer.graph.value(node.inputs[0]).shape[3] or 1)
    name = writer.node(
        "Conv",
        [x, weight, *bias],
        kernel_shape=list(kernel),
        strides=list(op.stride),
        pads=pads(op.padding),
        dilations=list(op.dilation),
        group=channels if depthwise else op.groups,
    )
    return from_planes(writer, node, layout, name)


def _transposed_convolution(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    x, layout = planes(writer, node)
    weight = writer.weight(node.inputs[1], (3, 0, 1, 2))
    bias = [writer.weight(name, (0,)) for name in node.inputs[2:]]
    kernel = writer.graph.value(node.inputs[1]).shape[1:3]
    name = writer.node(
        "ConvTranspose",
        [x, weight, *bias],
        kernel_shape=list(kernel),
        strides=list(op.stride),
        pads=pads(op.padding),
        output_padding=list(op.output_padding),
    )
    return from_planes(writer, node, layout, name)


def _dense(writer: Writer, node: Node) -> Tensor:
    """Gemm for two axes, a 1x1 convolution for an image that is held channels first, else MatMul.

    The weight's columns take the order in which the input is held, but for those of n:m patterns: their neighbours stay neighbours.
    """
    source, weight = node.inputs[0], node.inputs[1]
    layout = writer.layout(source)
    axis = layout.rank - 1
    value = writer.graph.value(weight)
    outputs: Group = (Atom(int(value.shape[0] or 1)),) if value.shape[0] != 1 else ()
    first = second(layout, axis)
    if len(layout.held) == 4 and layout.held == first and layout.rank == 4:
        numbers = columns(writer, weight, layout.seen[axis], first[1])
        kernel = writer.weight(weight, (0, 1), numbers, units=2)
        bias = [writer.weight(name, (0,)) for name in node.inputs[2:]]
        name = writer.node("Conv", [writer.fetch(source, first), kernel, *bias], kernel_shape=[1, 1])
        return Tensor(name, Layout((*layout.seen[:axis], outputs), (first[0], outputs, *first[2:])))
    wanted = trailing(layout, axis, compact=True)
    structure = writer.graph.constants[weight].structure if writer.graph.is_constant(weight) else None
    if structure is not None and structure.pattern is not None:
        wanted = (*wanted[:-1], layout.seen[axis])
    x = writer.fetch(source, wanted)
    numbers = columns(writer, weight, layout.seen[axis], wanted[-1])
    result = Layout((*layout.seen[:axis], outputs), (*wanted[:-1], outputs))
    if writer.graph.value(source).quant is None and value.quant is not None:
        return Tensor(_dynamic_dense(writer, node, x, numbers), result)
    bias = [writer.weight(name, (0,)) for name in node.inputs[2:]]
    if len(wanted) == 2:
        return Tensor(writer.node("Gemm", [x, writer.weight(weight, (0, 1), numbers), *bias], transB=1), result)
    product = writer.node("MatMul", [x, writer.weight(weight, (1, 0), numbers)])
    return Tensor(writer.node("Add", [product, *bias]) if bias else product, result)


def columns(writer: Writer, weight: str, seen: Group, held: Group) -> Any:
    """The numbers of a dense weight with their columns in the order in which the input is held; None where that is as they are."""
    return None if seen == held else reordered(np.asarray(writer.graph.array(weight)), seen, held)


def _dynamic_dense(writer: Writer, node: Node, x: str, numbers: Any) -> str:
    """Activations rounded to uint8 by their range at run time, sums in int32, and back to reals.

    The weights are uint8 around 128: int8 ones saturate on x86 processors without VNNI.
    """
    weight = writer.graph.value(node.inputs[1])
    assert weight.quant is not None
    array = np.asarray(writer.graph.array(node.inputs[1]) if numbers is None else numbers)
    integers = writer.steps_of(node.inputs[1], array, weight.quant)
    steps, scale, zero_point = writer.nodes_of("DynamicQuantizeLinear", [x], 3)
    matrix = writer.constant(node.inputs[1], (integers.transpose(1, 0).astype(np.int32) + 128).astype(np.uint8))
    centre = writer.constant("zero_point", np.asarray(128, np.uint8))
    sums = writer.node("Cast", [writer.node("MatMulInteger", [steps, matrix, zero_point, centre])], to=1)
    scales = writer.constant(f"{node.inputs[1]}/scale", np.asarray(weight.quant.scale, np.float32))
    name = writer.node("Mul", [sums, writer.node("Mul", [scale, scales])])
    return name if len(node.inputs) < 3 else writer.node("Add", [name, writer.weight(node.inputs[2], (0,))])


def _prelu(writer: Writer, node: Node) -> Tensor:
    layout = writer.layout(node.inputs[0])
    axis = layout.rank - 1
    wanted, places = locate(layout, [axis], channels_first(layout.rank))
    x = writer.fetch(node.inputs[0], wanted)
    slope = Layout((layout.seen[axis],), (layout.seen[axis],))
    axes: Axes = (layout.seen[axis], *((),) * (len(wanted) - 1 - places[axis]))
    return Tensor(writer.node("PRelu", [x, writer.operand(node.inputs[1], slope, axes)]), Layout(layout.seen, wanted))


def _batch_norm(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    layout = writer.layout(node.inputs[0])
    axis = layout.rank - 1
    wanted = second(layout, axis)
    x = writer.fetch(node.inputs[0], wanted)
    parameters = []
    for name in node.inputs[1:]:
        array = reordered(np.asarray(writer.graph.array(name)), layout.seen[axis], wanted[1])
        parameters.append(writer.weight(name, (0,), None if layout.seen[axis] == wanted[1] else array))
    return Tensor(writer.node("BatchNormalization", [x, *parameters], epsilon=op.epsilon), Layout(layout.seen, wanted))


def pool(op_type: str) -> Emit:
    """The function that writes a pooling operator as ``op_type``."""

    def emit(writer: Writer, node: Node) -> Tensor:
        op: Any = node.op
        x, layout = planes(writer, node)
        name = writer.node(op_type, [x], kernel_shape=list(op.kernel), strides=list(op.stride), pads=pads(op.padding))
        return from_planes(writer, node, layout, name)

    return emit


def _reduce_mean(writer: Writer, x: str, places: Sequence[int]) -> str:
    if writer.opset < AXES_OPSET:
        return writer.node("ReduceMean", [x], axes=list(places), keepdims=1)
    return writer.node("ReduceMean", [x, writer.constant("axes", np.asarray(places, np.int64))], keepdims=1)


def _mean(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    layout = writer.layout(node.inputs[0])
    wanted, places, after = reduced(layout, op.axes)
    x = writer.fetch(node.inputs[0], wanted)
    if (
        places
        and len(wanted) in (3, 4)
        and set(places) | {index for index in range(2, len(wanted)) if not wanted[index]} == set(range(2, len(wanted)))
    ):
        name = writer.node("GlobalAveragePool", [x])
    elif places:
        name = _reduce_mean(writer, x, places)
    else:
        name = writer.node("Identity", [x])
    seen = after.seen if op.keep_dims else tuple(group for axis, group in enumerate(after.seen) if axis not in op.axes)
    return Tensor(name, Layout(seen, after.held))


def _resize(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    x, layout = planes(writer, node)
    scales = [1.0, 1.0, *(_scale(size, goal) for size, goal in zip(layout.shape[1:3], op.size, strict=True))]
    rule = "align_corners" if op.align_corners else "half_pixel" if op.half_pixel_centers else "asymmetric"
    rounding = {} if op.mode != "nearest" else {"nearest_mode": "floor" if rule == "asymmetric" else "round_prefer_ceil"}
    name = writer.node(
        "Resize",
        [x, "", writer.constant("scales", np.asarray(scales, np.float32))],
        mode="nearest" if rounding else "linear",
        coordinate_transformation_mode=rule,
        **rounding,
    )
    return from_planes(writer, node, layout, name)


def _scale(size: int, goal: int) -> float:
    """A float32 factor that makes ``goal`` of ``size`` when the product is rounded down."""
    factor = np.float32(goal / size)
    while math.floor(float(factor) * size) < goal:
        factor = np.nextafter(factor, np.float32(np.inf))
    return float(factor)


def _softmax(op_type: str) -> Emit:
    def emit(writer: Writer, node: Node) -> Tensor:
        layout = writer.layout(node.inputs[0])
        wanted, places = locate(layout, [layout.rank - 1], channels_first(layout.rank))
        x = writer.fetch(node.inputs[0], wanted)
        beta = float(getattr(node.op, "beta", 1.0))
        if beta != 1.0:
            x = writer.node("Mul", [x, writer.number(beta)])
        return Tensor(writer.node(op_type, [x], axis=places[layout.rank - 1]), Layout(layout.seen, wanted))

    return emit


COMPUTE: dict[str, Emit] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "TransposeConv2D": _transposed_convolution,
    "Dense": _dense,
    "MaxPool2D": pool("MaxPool"),
    "AveragePool2D": pool("AveragePool"),
    "Mean": _mean,
    "Resize": _resize,
    "Softmax": _softmax("Softmax"),
    "LogSoftmax": _softmax("LogSoftmax"),
    "PRelu": _prelu,
    "BatchNorm": _batch_norm,
}
