"""Writers of the operators that move elements, or compute element by element and over an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright.emit.tflite_layers import activation, pad
from edgewright.emit.tflite_versions import dequantize_version, moving_version, mul_version, quantize_version, simple_version
from edgewright.emit.tflite_writer import Tensor, Writer
from edgewright.errors import UnsupportedError
from edgewright.ir.graph import Level, Node
from edgewright.ops.add import Add
from edgewright.ops.batch_norm import BatchNorm
from edgewright.ops.concat import Concat
from edgewright.ops.mean import Mean
from edgewright.ops.mul import Mul
from edgewright.ops.pad import Pad
from edgewright.ops.slice import Slice
from edgewright.ops.sub import Sub
from edgewright.ops.transpose import Transpose

Writing = Callable[[Writer, Node], None]
MOST_JOINED = 10
"""Inputs that one CONCATENATION of TensorFlow Lite Micro takes."""
NO_KERNEL_HINT = ("run expand_activations before quantization, which takes SiLU and HardSigmoid apart, or replace the operator: SiLU by "
                  "HardSwish, layer normalization by batch normalization; C and .onnx have it as it is")
"""What to do about an operator that .tflite knows in float only."""


def plain(kind: str, make_options: Callable[[], Any] | None = None) -> Writing:
    """The writer of an operator with one input, one output and no attributes; options are written where the schema has some."""

    def write(writer: Writer, node: Node) -> None:
        x = writer.value(node.inputs[0])
        writer.operator(kind, [x], [writer.value(node.outputs[0])], None if make_options is None else make_options(),
                        version=simple_version(kind, x.type))

    return write


def add(writer: Writer, node: Node) -> None:
    """Add → ADD."""
    assert isinstance(node.op, Add)
    options = schema.AddOptionsT()
    options.fusedActivationFunction = activation(node.op.activation)
    options.potScaleInt16 = writer.value(node.outputs[0]).type != "INT16"
    _binary(writer, node, "ADD", options, lambda first, second, out: simple_version("ADD", first.type))


def sub(writer: Writer, node: Node) -> None:
    """Sub → SUB."""
    assert isinstance(node.op, Sub)
    options = schema.SubOptionsT()
    options.fusedActivationFunction = activation(node.op.activation)
    options.potScaleInt16 = writer.value(node.outputs[0]).type != "INT16"
    _binary(writer, node, "SUB", options, lambda first, second, out: simple_version("SUB", first.type))


def mul(writer: Writer, node: Node) -> None:
    """Mul → MUL."""
    assert isinstance(node.op, Mul)
    options = schema.MulOptionsT()
    options.fusedActivationFunction = activation(node.op.activation)

    def version(first: Tensor, second: Tensor, out: Tensor) -> int:
        known = first.quant is not None and second.quant is not None and out.quant is not None
        factor = first.quant.scale[0] * second.quant.scale[0] / out.quant.scale[0] if known else 0.0  # type: ignore[union-attr]
        return mul_version(first.type, factor)

    _binary(writer, node, "MUL", options, version)


def _binary(writer: Writer, node: Node, kind: str, options: Any, version: Callable[[Tensor, Tensor, Tensor], int]) -> None:
    first, second, out = (writer.value(name) for name in (*node.inputs, node.outputs[0]))
    writer.operator(kind, [first, second], [out], options, version=version(first, second, out))


def reshape(writer: Writer, node: Node) -> None:
    """Reshape → RESHAPE."""
    out = writer.value(node.outputs[0])
    options = schema.ReshapeOptionsT()
    options.newShape = np.asarray(out.shape, np.int32)
    writer.operator("RESHAPE", [writer.value(node.inputs[0]), writer.numbers(f"{node.outputs[0]}_shape", out.shape)], [out], options)


def transpose(writer: Writer, node: Node) -> None:
    """Transpose → TRANSPOSE."""
    assert isinstance(node.op, Transpose)
    x = writer.value(node.inputs[0])
    order = writer.numbers(f"{node.outputs[0]}_permutation", node.op.permutation)
    writer.operator("TRANSPOSE", [x, order], [writer.value(node.outputs[0])], schema.TransposeOptionsT(),
                    version=moving_version("TRANSPOSE", x.type, len(x.shape)))


def slice_(writer: Writer, node: Node) -> None:
    """Slice → SLICE, or STRIDED_SLICE where it skips elements or goes backwards."""
    op = node.op
    assert isinstance(op, Slice)
    x, out = writer.value(node.inputs[0]), writer.value(node.outputs[0])
    begin = writer.numbers(f"{node.outputs[0]}_begin", op.begin)
    if all(stride == 1 for stride in op.stride):
        size = writer.numbers(f"{node.outputs[0]}_size", out.shape)
        writer.operator("SLICE", [x, begin, size], [out], schema.SliceOptionsT(), version=moving_version("SLICE", x.type, len(x.shape)))
        return
    ends = [start + (size - 1) * stride + (1 if stride > 0 else -1)
            for start, size, stride in zip(op.begin, out.shape, op.stride, strict=True)]
    options = schema.StridedSliceOptionsT()
    # Backwards to the first element has no end that could be named.
    options.endMask = sum(1 << axis for axis, end in enumerate(ends) if end < 0)
    ends = [max(end, 0) for end in ends]
    numbers = [begin, writer.numbers(f"{node.outputs[0]}_end", ends), writer.numbers(f"{node.outputs[0]}_stride", op.stride)]
    writer.operator("STRIDED_SLICE", [x, *numbers], [out], options,
                    version=moving_version("STRIDED_SLICE", x.type, len(x.shape)))


def concat(writer: Writer, node: Node) -> None:
    """Concat → CONCATENATION; several, where it joins more than MOST_JOINED."""
    op = node.op
    assert isinstance(op, Concat)
    out = writer.value(node.outputs[0])
    parts = [writer.value(name) for name in node.inputs]
    while len(parts) > MOST_JOINED:
        groups = [parts[start : start + MOST_JOINED] for start in range(0, len(parts), MOST_JOINED)]
        parts = [_joined(writer, node, op.axis, group) if len(group) > 1 else group[0] for group in groups]
    _join(writer, op.axis, parts, out)


def _joined(writer: Writer, node: Node, axis: int, parts: Sequence[Tensor]) -> Tensor:
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    wide = writer.like(parts[0], f"{node.outputs[0]}_part", shape)
    _join(writer, axis, parts, wide)
    return wide


def _join(writer: Writer, axis: int, parts: Sequence[Tensor], out: Tensor) -> None:
    options = schema.ConcatenationOptionsT()
    options.axis = axis
    writer.operator("CONCATENATION", parts, [out], options, version=simple_version("CONCATENATION", out.type))


def pad_operator(writer: Writer, node: Node) -> None:
    """Pad → PAD, PADV2 or MIRROR_PAD."""
    op = node.op
    assert isinstance(op, Pad)
    x, out = writer.value(node.inputs[0]), writer.value(node.outputs[0])
    amounts = writer.numbers(f"{node.outputs[0]}_paddings", np.asarray(op.padding))
    if op.mode == "constant":
        pad(writer, x, amounts, out, op.value)
        return
    options = schema.MirrorPadOptionsT()
    options.mode = schema.MirrorPadMode.REFLECT
    writer.operator("MIRROR_PAD", [x, amounts], [out], options, version=simple_version("MIRROR_PAD", x.type))


def mean(writer: Writer, node: Node) -> None:
    """Mean → MEAN."""
    assert isinstance(node.op, Mean)
    x = writer.value(node.inputs[0])
    options = schema.ReducerOptionsT()
    options.keepDims = node.op.keep_dims
    axes = writer.numbers(f"{node.outputs[0]}_axes", node.op.axes)
    writer.operator("MEAN", [x, axes], [writer.value(node.outputs[0])], options, version=simple_version("MEAN", x.type))


def quantize(writer: Writer, node: Node) -> None:
    """Quantize and Requantize → QUANTIZE."""
    out = writer.value(node.outputs[0])
    writer.operator("QUANTIZE", [writer.value(node.inputs[0])], [out], schema.QuantizeOptionsT(), version=quantize_version(out.type))


def dequantize(writer: Writer, node: Node) -> None:
    """Dequantize → DEQUANTIZE."""
    x = writer.value(node.inputs[0])
    writer.operator("DEQUANTIZE", [x], [writer.value(node.outputs[0])], schema.DequantizeOptionsT(),
                    version=dequantize_version(x.type, per_channel=False))


def float_only(writer: Writer, node: Node) -> None:
    """UnsupportedError in an integer network."""
    if writer.graph.level is Level.INTEGER:
        raise no_int8_kernel(node)


def no_int8_kernel(node: Node) -> UnsupportedError:
    """What is said of an operator that the format knows in float only."""
    return UnsupportedError(f"{node.op.kind} {node.name!r} has no int8 kernel in .tflite", hint=NO_KERNEL_HINT)


def batch_norm(writer: Writer, node: Node) -> None:
    """BatchNorm → MUL and ADD with its statistics folded; float networks only."""
    float_only(writer, node)
    op = node.op
    assert isinstance(op, BatchNorm)
    for name in node.inputs[1:]:
        if not writer.graph.is_constant(name):
            raise UnsupportedError(f"the statistics of BatchNorm {node.name!r} are computed at run time",
                                   hint="export the network in evaluation mode")
    scale, offset, average, variance = (writer.graph.array(name).astype(np.float64) for name in node.inputs[1:])
    factor = scale / np.sqrt(variance + op.epsilon)
    x = writer.value(node.inputs[0])
    scaled = writer.like(x, f"{node.outputs[0]}_scaled")
    writer.operator("MUL", [x, writer.reals(f"{node.outputs[0]}_factor", factor)], [scaled], schema.MulOptionsT())
    shift = writer.reals(f"{node.outputs[0]}_offset", offset - average * factor)
    writer.operator("ADD", [scaled, shift], [writer.value(node.outputs[0])], schema.AddOptionsT())
