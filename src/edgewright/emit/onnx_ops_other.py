"""How elementwise operators, and those that move or select numbers, are written in ONNX: operator → function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgewright.emit.onnx_writer import Array, Emit, Tensor, Writer
from edgewright.errors import UnsupportedError
from edgewright.ir.graph import Node
from edgewright.ir.layout import Layout, common, shape_of
from edgewright.ir.layout_plan import (
    broadcast,
    channels_first,
    locate,
    resized,
    restricted,
)


def clip(writer: Writer, name: str, low: float, high: float) -> str:
    """Tensor ``name`` limited to [low, high]."""
    return writer.node("Clip", [name, writer.number(low), writer.number(high)])


def operands(writer: Writer, node: Node) -> tuple[list[str], Layout]:
    """The inputs of ``node`` in axes that broadcast against each other, and the layout of what it then gives."""
    layouts = [writer.layout(name) for name in node.inputs]
    aligned = common(layouts)
    if aligned is None:
        writer.fuse(node.inputs)
        return operands(writer, node)
    computed = [layout for layout, name in zip(aligned, node.inputs, strict=True) if not writer.graph.is_constant(name)] or aligned
    rank = aligned[0].rank
    result = broadcast(aligned, computed, channels_first(rank))
    names = []
    for name, layout in zip(node.inputs, aligned, strict=True):
        wanted = restricted(result.held, layout)
        if writer.graph.is_constant(name):
            names.append(writer.operand(name, layout, wanted))
        else:
            names.append(writer.bring(Tensor(writer.tensor(name).name, layout), wanted, writer.graph.value(name).quant, name))
    return names, result


def _elementwise(op: str) -> Emit:
    def emit(writer: Writer, node: Node) -> Tensor:
        names, result = operands(writer, node)
        return Tensor(writer.node(op, names), result)

    return emit


def _pointwise(op: str, **attributes: Any) -> Emit:
    """An operator on every element; ``attributes``: ONNX's name → ours, or a number."""

    def emit(writer: Writer, node: Node) -> Tensor:
        source = writer.tensor(node.inputs[0])
        given = {key: getattr(node.op, value) if isinstance(value, str) else value for key, value in attributes.items()}
        return Tensor(writer.node(op, [source.name], **given), source.layout)

    return emit


def _relu6(writer: Writer, node: Node) -> Tensor:
    source = writer.tensor(node.inputs[0])
    return Tensor(clip(writer, source.name, 0.0, 6.0), source.layout)


def _silu(writer: Writer, node: Node) -> Tensor:
    source = writer.tensor(node.inputs[0])
    return Tensor(writer.node("Mul", [source.name, writer.node("Sigmoid", [source.name])]), source.layout)


def _rsqrt(writer: Writer, node: Node) -> Tensor:
    source = writer.tensor(node.inputs[0])
    return Tensor(writer.node("Reciprocal", [writer.node("Sqrt", [source.name])]), source.layout)


def _mish(writer: Writer, node: Node) -> Tensor:
    """Spelled out: the operator of its own came with opset 18."""
    source = writer.tensor(node.inputs[0])
    return Tensor(writer.node("Mul", [source.name, writer.node("Tanh", [writer.node("Softplus", [source.name])])]), source.layout)


def _gelu(writer: Writer, node: Node) -> Tensor:
    """Spelled out: the operator of its own came with opset 20."""
    op: Any = node.op
    source = writer.tensor(node.inputs[0])
    x = source.name
    if op.approximate:
        cube = writer.node("Mul", [x, writer.node("Mul", [x, x])])
        inner = writer.node("Add", [x, writer.node("Mul", [cube, writer.number(0.044715)])])
        gate = writer.node("Tanh", [writer.node("Mul", [inner, writer.number(math.sqrt(2 / math.pi))])])
    else:
        gate = writer.node("Erf", [writer.node("Div", [x, writer.number(math.sqrt(2))])])
    product = writer.node("Mul", [x, writer.node("Add", [gate, writer.number(1.0)])])
    return Tensor(writer.node("Mul", [product, writer.number(0.5)]), source.layout)


def _concat(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    axis = op.axis
    layouts = [writer.layout(name) for name in node.inputs]
    aligned = common([Layout((*layout.seen[:axis], (), *layout.seen[axis + 1 :]), layout.held) for layout in layouts])
    if aligned is None:
        writer.fuse(node.inputs)
        return _concat(writer, node)
    if any(writer.graph.is_constant(name) and layouts[0].batch_axis is not None for name in node.inputs):
        raise UnsupportedError(f"Concat {node.name!r} joins constants to a dynamic batch", hint="emit .tflite or C")
    along = [layout.seen[axis] for layout in layouts]
    full = Layout((*aligned[0].seen[:axis], along[0], *aligned[0].seen[axis + 1 :]), aligned[0].held)
    wanted, places = locate(full, [axis], channels_first(full.rank))
    names = []
    for name, layout, group in zip(node.inputs, aligned, along, strict=True):
        own = (*wanted[: places[axis]], group, *wanted[places[axis] + 1 :])
        if writer.graph.is_constant(name):
            names.append(writer.operand(name, layout, own))
        else:
            names.append(writer.bring(Tensor(writer.tensor(name).name, layout), own, writer.graph.value(name).quant, name))
    size = int(writer.graph.value(node.outputs[0]).shape[axis] or 1)
    return Tensor(writer.node("Concat", names, axis=places[axis]), resized(full, wanted, places, {axis: size}))


def _slice(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    layout = writer.layout(node.inputs[0])
    shape = layout.shape
    cut = [axis for axis, size in enumerate(op.size) if size is not None and (size != shape[axis] or op.stride[axis] < 0)]
    if not cut:
        return Tensor(writer.node("Identity", [writer.tensor(node.inputs[0]).name]), layout)
    wanted, places = locate(layout, cut, channels_first(layout.rank))
    ends = [op.begin[axis] + (op.size[axis] - 1) * op.stride[axis] + (1 if op.stride[axis] > 0 else -1) for axis in cut]
    # An end of -1 would be the last element; before the first one lies what is below minus the size.
    ends = [end if end >= 0 else -1 - int(shape[axis]) for end, axis in zip(ends, cut, strict=True)]
    rows = [[op.begin[axis] for axis in cut], ends, [places[axis] for axis in cut], [op.stride[axis] for axis in cut]]
    x = writer.fetch(node.inputs[0], wanted)
    name = writer.node("Slice", [x, *(writer.constant("range", np.asarray(row, np.int64)) for row in rows)])
    return Tensor(name, resized(layout, wanted, places, {axis: op.size[axis] for axis in cut}))


def _pad(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    return padded(writer, node, np.asarray(op.value, np.float32))


def padded(writer: Writer, node: Node, fill: Array) -> Tensor:
    """A Pad; ``fill``: the number to fill with, in the type of the tensor."""
    op: Any = node.op
    layout = writer.layout(node.inputs[0])
    grown = [axis for axis, pair in enumerate(op.padding) if any(pair)]
    if not grown:
        return Tensor(writer.node("Identity", [writer.tensor(node.inputs[0]).name]), layout)
    wanted, places = locate(layout, grown, channels_first(layout.rank))
    before, after = [0] * len(wanted), [0] * len(wanted)
    for axis in grown:
        before[places[axis]], after[places[axis]] = op.padding[axis]
    amounts = writer.constant("padding", np.asarray(before + after, np.int64))
    x = writer.fetch(node.inputs[0], wanted)
    name = writer.node("Pad", [x, amounts, *([writer.constant("number", fill)] if op.mode == "constant" else [])], mode=op.mode)
    return Tensor(name, resized(layout, wanted, places, {axis: layout.shape[axis] + sum(op.padding[axis]) for axis in grown}))


def _reshape(writer: Writer, node: Node) -> Tensor:
    source = writer.tensor(node.inputs[0])
    shape = [1 if size is None else size for size in writer.graph.value(node.outputs[0]).shape]
    layout = source.layout.reshaped(shape)
    if layout is not None:
        return Tensor(source.name, layout)
    x = writer.fetch(node.inputs[0], source.layout.seen)
    layout = source.layout.fused(shape)
    sizes = np.asarray([0 if size is None else size for size in shape_of(layout.held)], np.int64)
    return Tensor(writer.node("Reshape", [x, writer.constant("shape", sizes)]), layout)


def _transpose(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    source = writer.tensor(node.inputs[0])
    return Tensor(source.name, source.layout.permuted(op.permutation))


def _same(writer: Writer, node: Node) -> Tensor:
    """Quantize, Dequantize, Requantize: the grid of the output says it all."""
    return writer.tensor(node.inputs[0])


OTHER: dict[str, Emit] = {
    "Add": _elementwise("Add"),
    "Sub": _elementwise("Sub"),
    "Mul": _elementwise("Mul"),
    "Concat": _concat,
    "Slice": _slice,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Pad": _pad,
    "Relu": _pointwise("Relu"),
    "Relu6": _relu6,
    "LeakyRelu": _pointwise("LeakyRelu", alpha="alpha"),
    "Sigmoid": _pointwise("Sigmoid"),
    "Tanh": _pointwise("Tanh"),
    "HardSwish": _pointwise("HardSwish"),
    "Rsqrt": _rsqrt,
    "HardSigmoid": _pointwise("HardSigmoid", alpha="alpha", beta="beta"),
    "Abs": _pointwise("Abs"),
    "ELU": _pointwise("Elu", alpha="alpha"),
    "Mish": _mish,
    "Softplus": _pointwise("Softplus"),
    "SiLU": _silu,
    "GELU": _gelu,
    "Quantize": _same,
    "Dequantize": _same,
    "Requantize": _same,
}
