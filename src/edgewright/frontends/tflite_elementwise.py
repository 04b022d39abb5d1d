"""Importers of the .tflite operators that compute element by element or over an axis: arithmetic, activations, reductions, scales."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright.frontends.tflite_file import Operation
from edgewright.frontends.tflite_importer import Folded, Importer, Importing, InexpressibleError
from edgewright.frontends.tflite_layers import activation
from edgewright.ir.graph import Level
from edgewright.ir.layout import BatchMixedError
from edgewright.ir.operator import Operator
from edgewright.ops.add import Add
from edgewright.ops.dequantize import Dequantize
from edgewright.ops.gelu import GELU
from edgewright.ops.hard_sigmoid import HardSigmoid
from edgewright.ops.leaky_relu import LeakyRelu
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.mean import Mean
from edgewright.ops.mul import Mul
from edgewright.ops.prelu import PRelu
from edgewright.ops.quantize import Quantize
from edgewright.ops.relu import Relu
from edgewright.ops.requantize import Requantize
from edgewright.ops.reshape import Reshape
from edgewright.ops.softmax import Softmax
from edgewright.ops.sub import Sub


def simple(op: Operator) -> Importing:
    """The importer of an operator with one input and no attributes to translate."""

    def run(importer: Importer, operation: Operation) -> None:
        importer.finish(operation, op, (importer.operand(operation, 0),))

    return run


def binary(make: Callable[[str], Operator],
           options: type[schema.AddOptionsT] | type[schema.SubOptionsT] | type[schema.MulOptionsT]) -> Importing:
    """The importer of ADD, SUB or MUL."""

    def run(importer: Importer, operation: Operation) -> None:
        fused = activation(operation, operation.options(options).fusedActivationFunction)
        importer.finish(operation, make(fused), (importer.operand(operation, 0), importer.operand(operation, 1)))

    return run


def div(importer: Importer, operation: Operation) -> None:
    """DIV by a constant, as a multiplication; float networks only."""
    divisor = importer.known(operation.inputs[1]) if importer.present(operation, 1) else None
    plain = divisor is not None and divisor.dtype.kind == "f" and bool(np.all(np.isfinite(divisor) & (divisor != 0)))
    if divisor is None or not plain or importer.level is Level.INTEGER:
        raise InexpressibleError("division by anything but a float constant", "multiply by a constant instead")
    fused = activation(operation, operation.options(schema.DivOptionsT).fusedActivationFunction)
    importer.finish(operation, Mul(fused), (importer.operand(operation, 0), importer.number(operation, 1.0 / divisor.astype(np.float64))))


def square(importer: Importer, operation: Operation) -> None:
    """SQUARE; float networks only."""
    importer.number(operation, 0.0)
    name = importer.operand(operation, 0)
    importer.finish(operation, Mul(), (name, name))


def squared_difference(importer: Importer, operation: Operation) -> None:
    """SQUARED_DIFFERENCE; float networks only."""
    importer.number(operation, 0.0)
    difference = importer.step(operation, Sub(), (importer.operand(operation, 0), importer.operand(operation, 1)))
    importer.finish(operation, Mul(), (difference, difference))


def neg(importer: Importer, operation: Operation) -> None:
    """NEG; float networks only."""
    importer.finish(operation, Mul(), (importer.operand(operation, 0), importer.number(operation, -1.0)))


def relu_n1_to_1(importer: Importer, operation: Operation) -> None:
    """RELU_N1_TO_1; float networks only."""
    importer.finish(operation, Add("relu_n1_to_1"), (importer.operand(operation, 0), importer.number(operation, 0.0)))


def relu_0_to_1(importer: Importer, operation: Operation) -> None:
    """RELU_0_TO_1; float networks only."""
    importer.number(operation, 0.0)
    importer.finish(operation, HardSigmoid(1.0, 0.0), (importer.operand(operation, 0),))


def extremum(importer: Importer, operation: Operation) -> None:
    """MAXIMUM and MINIMUM with a constant: c + relu(x - c) and c - relu(c - x); with 0 a plain rectifier, which int8 can do as well."""
    known = [importer.known(importer.record(operation, position).index) is not None for position in (0, 1)]
    constants = [position for position in (0, 1) if known[position]]
    if len(constants) != 1:
        raise InexpressibleError("two values, none of them a constant", "only a clamp by a constant can be expressed")
    bound, name = importer.operand(operation, constants[0]), importer.operand(operation, 1 - constants[0])
    record = importer.record(operation, constants[0])
    array = np.asarray(importer.known(record.index))
    quant = importer.value(bound).quant if importer.level is Level.INTEGER else None
    zero = 0 if quant is None else quant.zero_point[0]
    if operation.kind == "MAXIMUM" and np.all(array == zero) and array.size == 1:
        importer.require_same_quant(operation, 1 - constants[0])
        importer.finish(operation, Relu(), (name,))
        return
    importer.number(operation, 0.0)
    first, last = ((name, bound), Add()) if operation.kind == "MAXIMUM" else ((bound, name), Sub())
    above = importer.step(operation, Relu(), (importer.step(operation, Sub(), first),))
    importer.finish(operation, last, (bound, above))


def softmax(importer: Importer, operation: Operation) -> None:
    """SOFTMAX; at int8 its output has scale 1/256 and zero point -128, at int16 2**-15 and 0, or no kernel takes it."""
    importer.finish(operation, Softmax(float(operation.options(schema.SoftmaxOptionsT).beta)), (importer.operand(operation, 0),))


def leaky_relu(importer: Importer, operation: Operation) -> None:
    """LEAKY_RELU."""
    importer.finish(operation, LeakyRelu(float(operation.options(schema.LeakyReluOptionsT).alpha)), (importer.operand(operation, 0),))


def gelu(importer: Importer, operation: Operation) -> None:
    """GELU."""
    importer.finish(operation, GELU(bool(operation.options(schema.GeluOptionsT).approximate)), (importer.operand(operation, 0),))


def prelu(importer: Importer, operation: Operation) -> None:
    """PRELU with one alpha a channel (or one for all), whatever axes of size 1 the file puts before it."""
    record = importer.record(operation, 1)
    x = importer.operand(operation, 0)
    channels = int(importer.value(x).shape[-1] or 1) if importer.value(x).shape else 1
    if importer.known(record.index) is None:
        raise InexpressibleError(f"its alpha {record.name!r} is computed at run time", "only a constant alpha can be read")
    if any(size != 1 for size in record.shape[:-1]) or record.elements not in (1, channels):
        raise InexpressibleError(f"alpha of shape {list(record.shape)}", "share the slope over height and width")
    alpha = importer.constant(record, f"alpha {channels}", None, lambda array: np.broadcast_to(array.reshape(-1), (channels,)))
    importer.finish(operation, PRelu(), (x, alpha))


def _reduced_axes(importer: Importer, operation: Operation, rank: int) -> tuple[int, ...]:
    axes = importer.constant_ints(operation, 1)
    if not axes or any(not -rank <= axis < rank for axis in axes):
        raise operation.broken(f"reduces axes {list(axes)} of {rank}")
    chosen = tuple(sorted({axis % rank for axis in axes}))
    if importer.symbolic and 0 in chosen:
        raise BatchMixedError()
    return chosen


def mean(importer: Importer, operation: Operation) -> None:
    """MEAN; and SUM as the mean times the number of elements, in float networks."""
    name = importer.operand(operation, 0)
    shape = importer.value(name).shape
    axes = _reduced_axes(importer, operation, len(shape))
    op = Mean(axes, bool(operation.options(schema.ReducerOptionsT).keepDims))
    if operation.kind == "MEAN":
        importer.finish(operation, op, (name,))
        return
    count = importer.number(operation, float(np.prod([shape[axis] or 1 for axis in axes], dtype=np.float64)))
    importer.finish(operation, Mul(), (importer.step(operation, op, (name,)), count))


def reduce_max(importer: Importer, operation: Operation) -> None:
    """REDUCE_MAX over neighbouring axes: maximum pooling of all that lies along them."""
    name = importer.operand(operation, 0)
    shape = importer.value(name).shape
    axes = _reduced_axes(importer, operation, len(shape))
    first, last = axes[0], axes[-1]
    if first < 1 or axes != tuple(range(first, last + 1)):
        raise InexpressibleError(f"a maximum over the axes {list(axes)}", "use neighbouring axes, not the batch")
    importer.require_same_quant(operation, 0)
    keep = bool(operation.options(schema.ReducerOptionsT).keepDims)
    sizes = [int(size or 1) for size in shape]
    rows, along, rest = math.prod(sizes[1:first]), math.prod(sizes[first : last + 1]), math.prod(sizes[last + 1 :])
    window, pooled = (1, along), (shape[0], rows, 1, rest)
    if len(shape) == 4 and axes == (1, 2):
        window, pooled = (sizes[1], sizes[2]), (shape[0], 1, 1, rest)
    elif shape != (shape[0], rows, along, rest):
        name = importer.step(operation, Reshape((shape[0], rows, along, rest)), (name,))
    given = (*shape[:first], *((1,) * len(axes) if keep else ()), *shape[last + 1 :])
    if given == pooled:
        importer.finish(operation, MaxPool2D(window, window), (name,))
    else:
        importer.finish(operation, Reshape(given), (importer.step(operation, MaxPool2D(window, window), (name,)),))


def quantize(importer: Importer, operation: Operation) -> None:
    """QUANTIZE: from a float input of the network, or from one integer grid to another (nothing at all where both are the same)."""
    record, target = importer.record(operation, 0), importer.output_record(operation)
    if importer.known(record.index) is not None:
        raise InexpressibleError("it quantizes a constant at run time", "fold constants before converting")
    name, quant = importer.operand(operation, 0), importer.quant(target)
    if quant is None:
        raise operation.broken(f"makes {target.name!r}, which has no scale")
    if record.type == "FLOAT32":
        if record.index not in importer.main.inputs:
            raise InexpressibleError(f"tensor {record.name!r} is float inside an integer network",
                                     "quantize the whole network, or none of it")
        importer.finish(operation, Quantize(), (name,))
    elif importer.value(name).quant == quant:
        importer.alias(operation, name)
    else:
        importer.finish(operation, Requantize(), (name,))


def dequantize(importer: Importer, operation: Operation) -> None:
    """DEQUANTIZE: of a constant (float16 or integer weights of a float network), or at an output of an integer network."""
    record = importer.record(operation, 0)
    array = importer.known(record.index)
    if array is not None:
        count = len(record.scale)
        fits = count == 1 or (count > 1 and 0 <= record.axis < array.ndim and array.shape[record.axis] == count)
        if array.dtype.kind != "f" and not fits:
            raise operation.broken(f"reads {record.name!r}, whose {count} scales do not fit shape {list(array.shape)}")
        quant = importer.quant(record, record.axis)
        if quant is not None and record.type == "UINT8":
            array = (array.astype(np.int16) - 128).astype(np.int8)
        real = array.astype(np.float32) if quant is None else quant.to_real(array)
        importer.folded[importer.output_record(operation).index] = Folded(real, quant)
        return
    if importer.level is not Level.INTEGER:
        raise operation.broken(f"reads {record.name!r} of type {record.type} in a float network")
    importer.finish(operation, Dequantize(), (importer.operand(operation, 0),))
