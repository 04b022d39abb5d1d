"""How layers with weights, and operators on windows, are written in the exact form: operator → function.

Sums of products are ConvInteger and MatMulInteger with uint8 weights around 128: int8 ones saturate on x86 processors without VNNI.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.emit.onnx_integer_arithmetic import (
    UNSIGNED,
    cast,
    number,
    requantized,
    rounded_away,
    sum_bound,
    unsigned,
    with_number,
)
from edgewright.emit.onnx_ops_compute import columns, from_planes, pads, planes, pool
from edgewright.emit.onnx_writer import Array, Emit, Tensor, Writer
from edgewright.ir.graph import Node
from edgewright.ir.layout import Atom, Group, Layout
from edgewright.ir.layout_plan import reduced, second, trailing
from edgewright.ops.requant import activation_range, output_multiplier, tensor_quant
from edgewright.ops.resize import FRACTION_BITS

ROWS, COLUMNS = 2, 3
"""Axes of planes."""


def _sums(writer: Writer, node: Node, op_type: str, x: str, matrix: Array, units: int, **attributes: Any) -> str:
    """Sums of products and bias of a layer, requantized. ``units``: axes behind that of the output channel."""
    graph = writer.graph
    name, weight, array = node.inputs[1], graph.value(node.inputs[1]), np.asarray(graph.array(node.inputs[1]))
    bias = np.asarray(graph.array(node.inputs[2])) if len(node.inputs) > 2 else None
    source, output = graph.value(node.inputs[0]), graph.value(node.outputs[0])
    numbers = writer.constant(name, (matrix.astype(np.int32) + UNSIGNED).astype(np.uint8))
    zero_points = [number(writer, tensor_quant(source)[1] + UNSIGNED, np.uint8), number(writer, UNSIGNED, np.uint8)]
    sums = writer.node(op_type, [x, numbers, *zero_points], **attributes)
    if bias is not None:
        sums = writer.node("Add", [sums, writer.constant(node.inputs[2], bias.astype(np.int32).reshape(-1, *(1,) * units))])
    low, high = activation_range(str(getattr(node.op, "activation", "none")), output)
    multiplier = output_multiplier(source, weight, output)
    return requantized(writer, cast(writer, sums), sum_bound(array, bias), multiplier, tensor_quant(output)[1], low, high, units)


def _convolution(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    x, layout = planes(writer, node)
    weight = np.asarray(writer.graph.array(node.inputs[1])).transpose(0, 3, 1, 2)
    channels = int(writer.graph.value(node.inputs[0]).shape[3] or 1)
    name = _sums(
        writer,
        node,
        "ConvInteger",
        x,
        weight,
        2,
        kernel_shape=list(weight.shape[2:]),
        strides=list(op.stride),
        pads=pads(op.padding),
        dilations=list(op.dilation),
        group=channels if op.kind == "DepthwiseConv2D" else op.groups,
    )
    return from_planes(writer, node, layout, name)


def _transposed_convolution(writer: Writer, node: Node) -> Tensor:
    """A convolution with the kernel turned round over the input with zeros put between its elements: ONNX has no ConvTransposeInteger."""
    op: Any = node.op
    x, layout = planes(writer, node)
    source = writer.graph.value(node.inputs[0])
    weight = np.asarray(writer.graph.array(node.inputs[1])).transpose(0, 3, 1, 2)[:, :, ::-1, ::-1]
    kernel = weight.shape[2:]
    channels, *sizes = (int(source.shape[axis] or 1) for axis in (3, 1, 2))
    if max(op.stride) > 1:
        x = _spread(writer, x, channels, sizes, op.stride, tensor_quant(source)[1] + UNSIGNED)
    amounts = []
    for axis in (0, 1):
        start = kernel[axis] - 1 - op.padding[axis][0]
        end = kernel[axis] - op.stride[axis] - op.padding[axis][1] + op.output_padding[axis]
        if min(start, end) < 0:
            whole = sizes[axis] * op.stride[axis]
            x = _slice(writer, x, axis + ROWS, max(0, -start), whole - max(0, -end))
        amounts.append((max(0, start), max(0, end)))
    name = _sums(writer, node, "ConvInteger", x, weight, 2, kernel_shape=list(kernel), pads=pads(amounts))
    return from_planes(writer, node, layout, name)


def _spread(writer: Writer, x: str, channels: int, sizes: Sequence[int], stride: Sequence[int], zero_point: int) -> str:
    """Planes with ``stride`` - 1 elements of ``zero_point`` behind each of their own."""
    (height, width), (down, right) = sizes, stride
    apart = writer.node("Reshape", [x, _shape(writer, 0, channels, height, 1, width, 1)])
    amounts = writer.constant("padding", np.asarray([0] * 9 + [down - 1, 0, right - 1], np.int64))
    filled = writer.node("Pad", [apart, amounts, number(writer, zero_point, np.uint8)])
    return writer.node("Reshape", [filled, _shape(writer, 0, channels, height * down, width * right)])


def _shape(writer: Writer, *sizes: int) -> str:
    return writer.constant("shape", np.asarray(sizes, np.int64))


def _slice(writer: Writer, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
    return writer.node("Slice", [x, *(_shape(writer, entry) for entry in (start, end, axis, step))])


def _dense(writer: Writer, node: Node) -> Tensor:
    """A 1x1 convolution for an image that is held channels first, else a product of matrices."""
    source, weight = node.inputs[0], node.inputs[1]
    layout = writer.layout(source)
    axis = layout.rank - 1
    size = int(writer.graph.value(weight).shape[0] or 1)
    outputs: Group = (Atom(size),) if size != 1 else ()
    first = second(layout, axis)
    image = layout.rank == 4 and layout.held == first
    wanted = first if image else trailing(layout, axis, compact=True)
    x = writer.fetch(source, wanted)
    numbers = columns(writer, weight, layout.seen[axis], wanted[1 if image else -1])
    matrix = np.asarray(writer.graph.array(weight) if numbers is None else numbers)
    if image:
        name = _sums(writer, node, "ConvInteger", x, matrix[:, :, None, None], 2, kernel_shape=[1, 1])
        return Tensor(name, Layout((*layout.seen[:axis], outputs), (first[0], outputs, *first[2:])))
    name = _sums(writer, node, "MatMulInteger", x, matrix.transpose(1, 0), 0)
    return Tensor(name, Layout((*layout.seen[:axis], outputs), (*wanted[:-1], outputs)))


def _max_pool(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    raw, value = pool("MaxPool")(writer, node), writer.graph.value(node.outputs[0])
    low, high = activation_range(op.activation, value)
    if (low, high) == (value.dtype.minimum, value.dtype.maximum):
        return raw
    bounds = [number(writer, bound + UNSIGNED, np.uint8) for bound in (low, high)]
    return Tensor(writer.node("Clip", [raw.name, *bounds]), raw.layout)


def _average_pool(writer: Writer, node: Node) -> Tensor:
    """Sums over windows axis by axis, divided by how many of a window's places lie inside the input."""
    op: Any = node.op
    x, layout = planes(writer, node)
    out = writer.graph.value(node.outputs[0])
    sums = with_number(writer, "Sub", cast(writer, x), UNSIGNED)
    counts = np.ones((1, 1, 1, 1))
    if any(amount for pair in op.padding for amount in pair):
        (top, bottom), (left, right) = op.padding
        amounts = writer.constant("padding", np.asarray([0, 0, top, left, 0, 0, bottom, right], np.int64))
        sums = writer.node("Pad", [sums, amounts, number(writer, 0.0)])
    for axis in (0, 1):
        size, places, step = int(layout.shape[axis + 1]), int(out.shape[axis + 1] or 1), op.stride[axis]
        starts = range(op.kernel[axis])
        if op.kernel[axis] == size + sum(op.padding[axis]):
            sums = writer.node("ReduceSum", [sums, _shape(writer, axis + ROWS)], keepdims=1)
        else:
            parts = [_slice(writer, sums, axis + ROWS, start, start + (places - 1) * step + 1, step) for start in starts]
            sums = parts[0]
            for part in parts[1:]:
                sums = writer.node("Add", [sums, part])
        inside = [sum(0 <= place * step + start - op.padding[axis][0] < size for start in starts) for place in range(places)]
        counts = counts * np.asarray(inside, np.float64).reshape([-1 if place == axis + ROWS else 1 for place in range(4)])
    total = with_number(writer, "Add", writer.node("Abs", [sums]), counts // 2)
    mean = writer.node("Mul", [writer.node("Sign", [sums]), writer.node("Floor", [with_number(writer, "Div", total, counts)])])
    low, high = activation_range(op.activation, out)
    return from_planes(writer, node, layout, unsigned(writer, with_number(writer, "Add", mean, UNSIGNED), low, high))


def _mean(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    ins, outs = writer.graph.ins(node), writer.graph.outs(node)
    layout = writer.layout(node.inputs[0])
    wanted, places, after = reduced(layout, op.axes)
    sums = cast(writer, writer.fetch(node.inputs[0], wanted))
    if places:
        sums = writer.node("ReduceSum", [sums, _shape(writer, *places)], keepdims=1)
    count = op.count(ins)
    sums = with_number(writer, "Sub", sums, (tensor_quant(ins[0])[1] + UNSIGNED) * count)
    low, high = outs[0].dtype.minimum, outs[0].dtype.maximum
    name = requantized(writer, sums, 255 * count, op.multipliers(ins, outs), tensor_quant(outs[0])[1], low, high)
    seen = after.seen if op.keep_dims else tuple(group for axis, group in enumerate(after.seen) if axis not in op.axes)
    return Tensor(name, Layout(seen, after.held))


def _resize(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    x, layout = planes(writer, node)
    if op.mode == "nearest":
        for axis in (0, 1):
            x = _taken(writer, x, axis + ROWS, op.nearest(layout.shape[axis + 1], op.size[axis]))
        return from_planes(writer, node, layout, x)
    x = with_number(writer, "Sub", cast(writer, x), UNSIGNED)
    for axis in (0, 1):
        lower, upper, fraction = op.between_integer(layout.shape[axis + 1], op.size[axis])
        weight = fraction.astype(np.float64).reshape([-1, *(1,) * (1 - axis)])
        below = with_number(writer, "Mul", _taken(writer, x, axis + ROWS, lower), (1 << FRACTION_BITS) - weight)
        x = writer.node("Add", [below, with_number(writer, "Mul", _taken(writer, x, axis + ROWS, upper), weight)])
    rounded = rounded_away(writer, with_number(writer, "Mul", x, 2.0 ** (-2 * FRACTION_BITS)))
    return from_planes(writer, node, layout, unsigned(writer, with_number(writer, "Add", rounded, UNSIGNED), -128, 127))


def _taken(writer: Writer, x: str, axis: int, indices: Array) -> str:
    return writer.node("Gather", [x, writer.constant("indices", indices.astype(np.int64))], axis=axis)


LAYERS: dict[str, Emit] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "TransposeConv2D": _transposed_convolution,
    "Dense": _dense,
    "MaxPool2D": _max_pool,
    "AveragePool2D": _average_pool,
    "Mean": _mean,
    "Resize": _resize,
}
