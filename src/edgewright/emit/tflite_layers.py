"""Writers of the operators with windows and weights: convolutions, dense layers, pooling, resizing."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgewright.emit.tflite_tables import table_pays
from edgewright.emit.tflite_versions import (
    convolution_version,
    dense_version,
    depthwise_version,
    moving_version,
    resize_version,
    simple_version,
    transpose_conv_version,
)
from edgewright.emit.tflite_writer import Tensor, Writer
from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Level, Node
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.convolution import NO_PADDING, Padding
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.padding import same_padding
from edgewright.ops.resize import Resize
from edgewright.ops.transpose_conv2d import TransposeConv2D

_ACTIVATIONS = {
    "none": schema.ActivationFunctionType.NONE, "relu": schema.ActivationFunctionType.RELU,
    "relu_n1_to_1": schema.ActivationFunctionType.RELU_N1_TO_1, "relu6": schema.ActivationFunctionType.RELU6,
}


def activation(name: str) -> int:
    """A fused activation's number in the schema."""
    return int(_ACTIVATIONS[name])


def _unchanged(array: NDArray[Any]) -> NDArray[Any]:
    return array


def _scheme(size: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int],
            padding: Padding) -> int | None:
    """SAME or VALID, where one of them means ``padding``."""
    if padding == NO_PADDING:
        return int(schema.Padding.VALID)
    same = tuple(same_padding(size[axis], kernel[axis], stride[axis], dilation[axis]) for axis in (0, 1))
    return int(schema.Padding.SAME) if padding == same else None


def _padded(writer: Writer, node: Node, x: Tensor, padding: Padding, fill: float = 0.0) -> Tensor:
    """``x`` with explicit padding around height and width, by an operator of its own."""
    pairs = [(0, 0), padding[0], padding[1], (0, 0)]
    wide = writer.like(x, f"{node.outputs[0]}_padded", [size + sum(pair) for size, pair in zip(x.shape, pairs, strict=True)])
    amounts = writer.numbers(f"{node.outputs[0]}_paddings", np.asarray(pairs))
    pad(writer, x, amounts, wide, fill)
    return wide


def pad(writer: Writer, x: Tensor, amounts: Tensor, out: Tensor, fill: float) -> None:
    """PAD with real zero, or PADV2 with ``fill`` brought to the grid of ``out``."""
    if fill == 0.0:
        writer.operator("PAD", [x, amounts], [out], schema.PadOptionsT(), version=moving_version("PAD", x.type, len(x.shape)))
        return
    name = writer.name("fill")
    if out.quant is None:
        constant = writer.tensor(name, (), "FLOAT32", data=np.asarray(np.clip(fill, *_FLOAT32), np.float32).tobytes())
    else:
        integer = np.clip(np.rint(fill / out.quant.scale[0]) + out.quant.zero_point[0], out.quant.dtype.minimum, out.quant.dtype.maximum)
        constant = writer.tensor(name, (), out.type, data=np.asarray(integer, out.quant.dtype.numpy).tobytes(), quant=out.quant)
    writer.operator("PADV2", [x, amounts, constant], [out], schema.PadV2OptionsT(), version=moving_version("PADV2", x.type, len(x.shape)))


_FLOAT32 = (float(np.finfo(np.float32).min), float(np.finfo(np.float32).max))


def _window(writer: Writer, node: Node, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], padding: Padding,
            fill: float = 0.0) -> tuple[Tensor, int]:
    """The input, padded beforehand where no scheme of the format fits, and the scheme."""
    x = writer.value(node.inputs[0])
    scheme = _scheme(x.shape[1:3], kernel, stride, dilation, padding)
    return (x, scheme) if scheme is not None else (_padded(writer, node, x, padding, fill), int(schema.Padding.VALID))


def _bias(writer: Writer, node: Node) -> list[Tensor]:
    """The bias, or nothing: kernels count their inputs. Beside int16 activations it has 64 bits."""
    wide = writer.ins(node)[0].dtype is DType.INT16
    role = "wide bias" if wide else "bias"
    return [writer.constant(node.inputs[2], role, _unchanged, 0, kind="INT64" if wide else None)] if len(node.inputs) > 2 else []


def _bias_or_zeros(writer: Writer, node: Node) -> Tensor:
    """The bias; LiteRT's convolutions insist on one."""
    if len(node.inputs) > 2:
        return _bias(writer, node)[0]
    x, weight = writer.ins(node)[:2]
    name, count = f"{node.outputs[0]}_bias", int(weight.shape[0] or 0)
    if writer.graph.level is not Level.INTEGER or x.quant is None or weight.quant is None:
        return writer.reals(name, np.zeros(count))
    scale = np.asarray(weight.quant.scale, np.float32) * np.float32(x.quant.scale[0])
    quant = Quant(DType.INT32, tuple(scale.tolist()), (0,) * len(scale), weight.quant.axis)
    kind, size = ("INT64", 8) if x.dtype is DType.INT16 else ("INT32", 4)
    return writer.tensor(writer.name(name), (count,), kind, data=bytes(size * count), quant=quant)


def _weight(writer: Writer, node: Node, role: str = "weight", arrange: Any = _unchanged, axis: int = 0, *, hybrid: bool = True) -> Tensor:
    if not writer.graph.is_constant(node.inputs[1]):
        raise UnsupportedError(f"the weight of {node.op.kind} {node.name!r} is computed at run time",
                               hint="only constant weights can be written")
    x, weight = writer.ins(node)[:2]
    if weight.dtype is DType.INT16:
        raise UnsupportedError(f"the weight of {node.op.kind} {node.name!r} is int16, which no kernel of .tflite takes",
                               hint="use weights of 8 bits (recipe w8a16), or write C")
    narrow = weight.dtype.bits < 8 and (x.dtype is DType.INT16 or _pays(writer, node.inputs[1], arrange, axis))
    return writer.constant(node.inputs[1], role, arrange, axis, hybrid=hybrid, kind="INT8" if narrow else None)


def _pays(writer: Writer, name: str, arrange: Any, axis: int) -> bool:
    """Whether narrow integers become a table of bytes."""
    if writer.weights not in ("tables", "decode") or writer.graph.level is not Level.INTEGER:
        return False
    quant = writer.graph.value(name).quant
    array = arrange(writer.graph.array(name))
    return table_pays(array, axis if quant is not None and quant.axis is not None else None, -(-array.size // 2))


def _per_channel(weight: Tensor) -> bool:
    return weight.quant is not None and weight.quant.axis is not None


def conv2d(writer: Writer, node: Node) -> None:
    """Conv2D → CONV_2D."""
    op = node.op
    assert isinstance(op, Conv2D)
    weight = _weight(writer, node, hybrid=op.groups == 1)
    x, scheme = _window(writer, node, (weight.shape[1], weight.shape[2]), op.stride, op.dilation, op.padding)
    options = schema.Conv2DOptionsT()
    options.padding, options.fusedActivationFunction = scheme, activation(op.activation)
    options.strideH, options.strideW = op.stride
    options.dilationHFactor, options.dilationWFactor = op.dilation
    version = convolution_version(x.type, weight.type, per_channel=_per_channel(weight), grouped=op.groups > 1)
    writer.operator("CONV_2D", [x, weight, _bias_or_zeros(writer, node)], [writer.value(node.outputs[0])], options, version=version)


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    return array.transpose(3, 1, 2, 0)


def depthwise_conv2d(writer: Writer, node: Node) -> None:
    """DepthwiseConv2D → DEPTHWISE_CONV_2D."""
    op = node.op
    assert isinstance(op, DepthwiseConv2D)
    weight = _weight(writer, node, "depthwise", _channels_last, 3)
    x, scheme = _window(writer, node, (weight.shape[1], weight.shape[2]), op.stride, op.dilation, op.padding)
    options = schema.DepthwiseConv2DOptionsT()
    options.padding, options.fusedActivationFunction = scheme, activation(op.activation)
    options.strideH, options.strideW = op.stride
    options.dilationHFactor, options.dilationWFactor = op.dilation
    options.depthMultiplier = op.multiplier
    version = depthwise_version(x.type, weight.type, per_channel=_per_channel(weight), dilated=op.dilation != (1, 1))
    writer.operator("DEPTHWISE_CONV_2D", [x, weight, _bias_or_zeros(writer, node)], [writer.value(node.outputs[0])], options,
                    version=version)


def dense(writer: Writer, node: Node) -> None:
    """Dense → FULLY_CONNECTED."""
    op = node.op
    assert isinstance(op, Dense)
    x, out = writer.value(node.inputs[0]), writer.value(node.outputs[0])
    weight = _weight(writer, node)
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = activation(op.activation)
    options.keepNumDims = len(out.shape) != 2
    version = dense_version(x.type, weight.type, per_channel=_per_channel(weight), keep_num_dims=bool(options.keepNumDims))
    bias: list[Tensor | None] = [*_bias(writer, node)]
    writer.operator("FULLY_CONNECTED", [x, weight, *(bias or [None])], [out], options, version=version)


def transpose_conv2d(writer: Writer, node: Node) -> None:
    """TransposeConv2D → TRANSPOSE_CONV, in full and cut by a SLICE where neither SAME nor VALID means its padding."""
    op = node.op
    assert isinstance(op, TransposeConv2D)
    x, out = writer.value(node.inputs[0]), writer.value(node.outputs[0])
    weight = _weight(writer, node, hybrid=False)
    kernel, size = (weight.shape[1], weight.shape[2]), (out.shape[1], out.shape[2])
    full = [(x.shape[axis + 1] - 1) * op.stride[axis] + kernel[axis] for axis in (0, 1)]
    same = all(-(-size[axis] // op.stride[axis]) == x.shape[axis + 1] and full[axis] >= size[axis]
               and op.padding[axis][0] == same_padding(size[axis], kernel[axis], op.stride[axis])[0] for axis in (0, 1))
    options = schema.TransposeConvOptionsT()
    options.strideH, options.strideW = op.stride
    options.fusedActivationFunction = activation(op.activation)
    target = out
    if op.padding == NO_PADDING and all(extra < stride for extra, stride in zip(op.output_padding, op.stride, strict=True)):
        options.padding = schema.Padding.VALID
    elif same and not any(op.output_padding):
        options.padding = schema.Padding.SAME
    else:
        options.padding = schema.Padding.VALID
        wide = [max(full[axis], op.padding[axis][0] + size[axis]) for axis in (0, 1)]
        if any(wide[axis] - full[axis] >= op.stride[axis] for axis in (0, 1)):
            raise UnsupportedError(f"TransposeConv2D {node.name!r} pads its output by {op.output_padding}, as much as its stride",
                                   hint="pad by an operator of its own")
        target = writer.like(out, f"{node.outputs[0]}_full", (1, *wide, out.shape[3]))
    bias = _bias(writer, node)
    sizes = writer.numbers(f"{node.outputs[0]}_shape", target.shape)
    version = transpose_conv_version(x.type, bias=bool(bias), fused=op.activation != "none")
    writer.operator("TRANSPOSE_CONV", [sizes, weight, x, *bias], [target], options, version=version)
    if target is not out:
        begin = writer.numbers(f"{node.outputs[0]}_begin", (0, op.padding[0][0], op.padding[1][0], 0))
        extent = writer.numbers(f"{node.outputs[0]}_size", out.shape)
        writer.operator("SLICE", [target, begin, extent], [out], schema.SliceOptionsT(), version=simple_version("SLICE", out.type))


def _pool(writer: Writer, node: Node, kind: str, x: Tensor, scheme: int, out: Tensor) -> None:
    op = node.op
    assert isinstance(op, MaxPool2D | AveragePool2D)
    options = schema.Pool2DOptionsT()
    options.padding, options.fusedActivationFunction = scheme, activation(op.activation)
    options.filterHeight, options.filterWidth = op.kernel
    options.strideH, options.strideW = op.stride
    writer.operator(kind, [x], [out], options, version=simple_version(kind, x.type))


def max_pool2d(writer: Writer, node: Node) -> None:
    """MaxPool2D → MAX_POOL_2D; other padding than SAME is filled with the lowest number."""
    op = node.op
    assert isinstance(op, MaxPool2D)
    x, scheme = _window(writer, node, op.kernel, op.stride, (1, 1), op.padding, float("-inf"))
    _pool(writer, node, "MAX_POOL_2D", x, scheme, writer.value(node.outputs[0]))


def average_pool2d(writer: Writer, node: Node) -> None:
    """AveragePool2D → AVERAGE_POOL_2D, which counts no padding; the format has it for SAME and VALID only."""
    op = node.op
    assert isinstance(op, AveragePool2D)
    x = writer.value(node.inputs[0])
    scheme = _scheme(x.shape[1:3], op.kernel, op.stride, (1, 1), op.padding)
    if scheme is None:
        raise UnsupportedError(f"AveragePool2D {node.name!r} pads by {op.padding}, which .tflite cannot express: "
                               "its kernels pad by SAME or not at all",
                               hint="pool without padding, or count the padding (a Pad before the pooling)")
    _pool(writer, node, "AVERAGE_POOL_2D", x, scheme, writer.value(node.outputs[0]))


def resize(writer: Writer, node: Node) -> None:
    """Resize → RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR."""
    op = node.op
    assert isinstance(op, Resize)
    bilinear = op.mode == "bilinear"
    options = schema.ResizeBilinearOptionsT() if bilinear else schema.ResizeNearestNeighborOptionsT()
    options.alignCorners, options.halfPixelCenters = op.align_corners, op.half_pixel_centers
    x = writer.value(node.inputs[0])
    version = resize_version(x.type, later_option=op.half_pixel_centers or (op.align_corners and not bilinear))
    size = writer.numbers(f"{node.outputs[0]}_size", op.size)
    writer.operator("RESIZE_BILINEAR" if bilinear else "RESIZE_NEAREST_NEIGHBOR", [x, size], [writer.value(node.outputs[0])], options,
                    version=version)
