"""Importers of the .tflite operators with windows and weights: convolutions, dense layers, pooling, resizing."""

from __future__ import annotations

import math
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgewright.frontends.tflite_file import Operation
from edgewright.frontends.tflite_importer import Importer, InexpressibleError
from edgewright.frontends.tflite_shapes import reshaped
from edgewright.ir.layout import BatchMixedError
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.convolution import NO_PADDING, Padding
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.matmul import MatMul
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.padding import same_padding
from edgewright.ops.reshape import Reshape
from edgewright.ops.resize import Resize
from edgewright.ops.transpose import Transpose
from edgewright.ops.transpose_conv2d import TransposeConv2D

_ACTIVATIONS = {0: "none", 1: "relu", 2: "relu_n1_to_1", 3: "relu6"}
MOST_STEPS = 1 << 20
"""Strides, dilations and kernels up to this size are taken for plausible."""


def activation(operation: Operation, number: int) -> str:
    """The name of a fused activation."""
    if number not in _ACTIVATIONS:
        names = {code: name for name, code in vars(schema.ActivationFunctionType).items() if not name.startswith("_")}
        raise InexpressibleError(f"fused activation {names.get(number, number)}",
                                 "put the activation after the operator, as one of its own")
    return _ACTIVATIONS[number]


def _padding(operation: Operation, kind: int, size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int],
             dilation: tuple[int, int]) -> Padding:
    if not all(1 <= number <= MOST_STEPS for number in (*kernel, *stride, *dilation)):
        raise operation.broken(f"has kernel {kernel}, stride {stride} and dilation {dilation}")
    if kind == schema.Padding.VALID:
        return NO_PADDING
    if kind != schema.Padding.SAME:
        raise operation.broken(f"has padding scheme {kind}, known are SAME and VALID")
    return same_padding(size[0], kernel[0], stride[0], dilation[0]), same_padding(size[1], kernel[1], stride[1], dilation[1])


def _image(importer: Importer, operation: Operation, position: int = 0) -> tuple[str, tuple[int, int, int]]:
    """The NHWC activation at ``position`` and its height, width and channels."""
    name = importer.operand(operation, position)
    shape = importer.value(name).shape
    if len(shape) != 4:
        raise operation.broken(f"reads shape {list(shape)}, expected N x height x width x channels")
    return name, (int(shape[1] or 0), int(shape[2] or 0), int(shape[3] or 0))


def _filter(importer: Importer, operation: Operation, rank: int = 4) -> tuple[int, ...]:
    shape = importer.record(operation, 1).shape
    if len(shape) != rank or 0 in shape:
        raise operation.broken(f"has a weight of shape {list(shape)}, expected {rank} axes")
    return shape


def conv_2d(importer: Importer, operation: Operation) -> None:
    """CONV_2D; groups follow from the channels of the weight."""
    options = operation.options(schema.Conv2DOptionsT)
    x, (height, width, channels) = _image(importer, operation)
    _, kernel_h, kernel_w, depth = _filter(importer, operation)
    if channels % depth:
        raise operation.broken(f"{channels} channels do not divide by the weight's {depth}")
    stride, dilation = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
    padding = _padding(operation, options.padding, (height, width), (kernel_h, kernel_w), stride, dilation)
    fused = activation(operation, options.fusedActivationFunction)
    weight = importer.weight(operation, 1, 0)
    inputs = (x, weight, *importer.bias(operation, 2, x, weight))
    importer.finish(operation, Conv2D(stride, padding, dilation, channels // depth, fused), inputs)


def _channels_first(array: NDArray[Any]) -> NDArray[Any]:
    return array.transpose(3, 1, 2, 0)


def depthwise_conv_2d(importer: Importer, operation: Operation) -> None:
    """DEPTHWISE_CONV_2D; its weight (1, height, width, channels) gets the channels at axis 0."""
    options = operation.options(schema.DepthwiseConv2DOptionsT)
    x, (height, width, channels) = _image(importer, operation)
    first, kernel_h, kernel_w, filters = _filter(importer, operation)
    if first != 1 or channels == 0 or filters % channels or options.depthMultiplier not in (0, filters // channels):
        raise operation.broken(f"{channels} channels and multiplier {options.depthMultiplier} "
                         f"do not fit a weight of {[first, kernel_h, kernel_w, filters]}")
    stride, dilation = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
    padding = _padding(operation, options.padding, (height, width), (kernel_h, kernel_w), stride, dilation)
    fused = activation(operation, options.fusedActivationFunction)
    weight = importer.weight(operation, 1, 3, _channels_first)
    inputs = (x, weight, *importer.bias(operation, 2, x, weight))
    importer.finish(operation, DepthwiseConv2D(stride, padding, dilation, filters // channels, fused), inputs)


def transpose_conv(importer: Importer, operation: Operation) -> None:
    """TRANSPOSE_CONV; the size that it declares decides how much is cut off or added."""
    options = operation.options(schema.TransposeConvOptionsT)
    size = importer.constant_ints(operation, 0)
    x, sizes = _image(importer, operation, 2)
    _, kernel_h, kernel_w, _ = _filter(importer, operation)
    stride = (options.strideH, options.strideW)
    if len(size) != 4 or not all(1 <= number <= MOST_STEPS for number in (*stride, kernel_h, kernel_w, *size[1:3])):
        raise operation.broken(f"asks for shape {list(size)} with stride {stride}")
    padding, extra = [], []
    for axis, kernel in enumerate((kernel_h, kernel_w)):
        before, after = same_padding(size[axis + 1], kernel, stride[axis]) if options.padding == schema.Padding.SAME else (0, 0)
        full = (sizes[axis] - 1) * stride[axis] + kernel
        after = max(0, full - before - size[axis + 1])
        padding.append((before, after))
        extra.append(size[axis + 1] - (full - before - after))
    op = TransposeConv2D(stride, (padding[0], padding[1]), (extra[0], extra[1]), activation(operation, options.fusedActivationFunction))
    weight = importer.weight(operation, 1, 0)
    importer.finish(operation, op, (x, weight, *importer.bias(operation, 3, x, weight)))


def batch_matmul(importer: Importer, operation: Operation) -> None:
    """BATCH_MATMUL of two activations, or of an activation and a stack of constant matrices."""
    options = operation.options(schema.BatchMatMulOptionsT)
    first, second = importer.operand(operation, 0), importer.operand(operation, 1)
    rank = len(importer.value(first).shape)
    if len(importer.value(second).shape) != rank:
        raise InexpressibleError("factors with different numbers of axes", "reshape them to the same number of axes")
    if options.adjX:
        turned = Transpose((*range(rank - 2), rank - 1, rank - 2))
        first = importer.step(operation, turned, (first,))
    importer.finish(operation, MatMul(bool(options.adjY)), (first, second))


def fully_connected(importer: Importer, operation: Operation) -> None:
    """FULLY_CONNECTED over the last axis, or over everything but the batch where the weight is as long."""
    options = operation.options(schema.FullyConnectedOptionsT)
    if options.weightsFormat != schema.FullyConnectedOptionsWeightsFormat.DEFAULT:
        raise InexpressibleError("shuffled weights", "convert the network again with default weights")
    fused = activation(operation, options.fusedActivationFunction)
    outputs, length = _filter(importer, operation, rank=2)
    x = importer.operand(operation, 0)
    shape = importer.value(x).shape
    weight = importer.weight(operation, 1, 0)
    if not (shape and shape[-1] == length and (len(shape) == 2 or options.keepNumDims)):
        elements = math.prod(size for size in shape if size is not None)
        if importer.symbolic and elements != length:
            raise BatchMixedError()
        if elements % length:
            raise operation.broken(f"shape {list(shape)} does not fit a weight of {[outputs, length]}")
        x = reshaped(importer, operation, x, (None if importer.symbolic else elements // length, length))
    inputs = (x, weight, *importer.bias(operation, 2, x, weight))
    declared = importer.full_shape(importer.output_record(operation))
    given = (*importer.value(x).shape[:-1], outputs)
    if declared and given != declared and math.prod(s or 1 for s in given) == math.prod(s or 1 for s in declared):
        record = importer.output_record(operation)
        name = importer.derived(operation, "dense")
        importer.builder.node(Dense(fused), inputs, name=name, outputs=(name,), dtype=importer.dtype(record),
                              quants=(importer.quant(record),))
        importer.finish(operation, Reshape(declared), (name,))
    else:
        importer.finish(operation, Dense(fused), inputs)


def _pool(importer: Importer, operation: Operation, kind: type[MaxPool2D] | type[AveragePool2D]) -> None:
    options = operation.options(schema.Pool2DOptionsT)
    x, (height, width, _) = _image(importer, operation)
    kernel, stride = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
    padding = _padding(operation, options.padding, (height, width), kernel, stride, (1, 1))
    importer.require_same_quant(operation, 0)
    importer.finish(operation, kind(kernel, stride, padding, activation(operation, options.fusedActivationFunction)), (x,))


def max_pool_2d(importer: Importer, operation: Operation) -> None:
    """MAX_POOL_2D."""
    _pool(importer, operation, MaxPool2D)


def average_pool_2d(importer: Importer, operation: Operation) -> None:
    """AVERAGE_POOL_2D."""
    _pool(importer, operation, AveragePool2D)


def _resize(importer: Importer, operation: Operation, mode: str, align_corners: bool, half_pixel_centers: bool) -> None:
    size = importer.constant_ints(operation, 1)
    if len(size) != 2 or not all(1 <= number <= MOST_STEPS for number in size):
        raise operation.broken(f"asks for size {list(size)}")
    importer.require_same_quant(operation, 0)
    x, _ = _image(importer, operation)
    importer.finish(operation, Resize((size[0], size[1]), mode, align_corners, half_pixel_centers), (x,))


def resize_bilinear(importer: Importer, operation: Operation) -> None:
    """RESIZE_BILINEAR."""
    options = operation.options(schema.ResizeBilinearOptionsT)
    _resize(importer, operation, "bilinear", bool(options.alignCorners), bool(options.halfPixelCenters))


def resize_nearest_neighbor(importer: Importer, operation: Operation) -> None:
    """RESIZE_NEAREST_NEIGHBOR."""
    options = operation.options(schema.ResizeNearestNeighborOptionsT)
    _resize(importer, operation, "nearest", bool(options.alignCorners), bool(options.halfPixelCenters))
