"""Layers of int16 activations as calls of kernels. Zero points are 0; weights have 8 bits or 16."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgewright.emit.c.call_attention import matrices_of
from edgewright.emit.c.call_convolution import window_between, window_of
from edgewright.emit.c.call_elementwise import broadcast_of, factor_fields
from edgewright.emit.c.call_reduction import mean_walks, rows_of
from edgewright.emit.c.layer import Call, Layer, Parameter, Table, Workspace
from edgewright.emit.c.packing import pack_fours, pack_wide, plain_bias
from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType
from edgewright.ops.add import Add
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.gates import sigmoid_table, thirds_factor
from edgewright.ops.leaky_relu import LeakyRelu
from edgewright.ops.matmul import MatMul
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.mean import Mean
from edgewright.ops.mul import Mul
from edgewright.ops.prelu import PRelu
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.ops.requant import activation_range, output_multiplier, quantize_multipliers, reduce_multiplier, tensor_quant
from edgewright.ops.requantize import Requantize
from edgewright.ops.softmax import Softmax
from edgewright.ops.sub import Sub
from edgewright.ops.tanh import Tanh
from edgewright.ops.transpose_conv2d import TransposeConv2D
from edgewright.ops.wide_softmax import difference_factor, exponentials, reciprocals
from edgewright.targets.workspace import is_matrix_product

NARROW = 1 << 31
"""Sums below this stay within 32 bits."""
SIMPLE_SHIFT = -2
"""Shifts up to this take 32-bit sums to outputs in one multiplication of words."""
MOST_AVERAGED = 1 << 16
"""Numbers of 16 bits whose sum does."""
LANES = 4
"""Channels that the depthwise kernel with DSP instructions takes at a time."""
MOST_TAPS = 256
"""Weights in a row of a depthwise window."""
SHORT = {DType.INT8: "s8", DType.INT16: "s16"}


def is_wide(layer: Layer) -> bool:
    """Whether ``layer`` takes or gives int16."""
    return DType.INT16 in {value.dtype for value in (*layer.ins[:1], layer.outs[0])}


def _products(layer: Layer, kernel: str, window: Mapping[str, int], activation: str, groups: int = 1, *, direct: bool = False) -> Call:
    """A call of ``kernel``, or of its form for weights of 16 bits."""
    layer.expect_types([DType.INT16], DType.INT16)
    weight, bias = layer.array(1), plain_bias(layer.array(2) if len(layer.ins) > 2 else None, len(layer.array(1)))
    words = layer.ins[1].dtype is DType.INT16
    factors = reduce_multiplier(output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0]))
    largest = (np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1) << 15) + np.abs(bias.astype(np.int64))
    rows = _rows(weight, kernel, window, groups) if layer.simd and not words else weight.astype(np.int16 if words else np.int8)
    low, high = activation_range(activation, layer.outs[0])
    # A compiler that sees the tables warns of the path for four channels, which is never taken where there are fewer.
    least = LANES if kernel == "depthwise_conv2d_s16" and layer.simd and not words else 0
    parameters: dict[str, Parameter] = {
        "window": window,
        "groups": groups,
        "direct": direct,
        "narrow": bool(largest.max(initial=0) < NARROW and max(factors.shift) <= SIMPLE_SHIFT),
        "output_min": low,
        "output_max": high,
        "weights": Table("weights", rows),
        "bias": Table("bias", _at_least(bias, least)),
        **{name: Table(name, _at_least(_by_channel(part, len(weight), dtype), least)) for name, part, dtype in (
            ("multiplier", factors.multiplier, np.int16), ("shift", factors.shift, np.int8))},
    }
    room = [Workspace()] if kernel == "conv2d_s16" else []
    return Call(f"{kernel}_w16" if words else kernel, parameters, [layer.input(), layer.output(), *room], "wide_layer")


def _at_least(table: NDArray[np.integer], count: int) -> NDArray[np.integer]:
    """``table`` with zeros behind it, up to ``count`` entries."""
    return np.pad(table, (0, max(0, count - len(table))))


def _rows(weight: NDArray[np.generic], kernel: str, window: Mapping[str, int], groups: int) -> NDArray[np.generic]:
    """Weights of 8 bits in the order of the kernels with DSP instructions."""
    rows = weight.astype(np.int8)
    if kernel == "conv2d_s16":
        return pack_wide(rows, groups)
    single = kernel == "depthwise_conv2d_s16" and window["input_channels"] == window["output_channels"]
    return pack_fours(rows) if single else rows


def _by_channel(part: tuple[int, ...], channels: int, dtype: type[np.integer]) -> NDArray[np.integer]:
    return np.array(part * channels if len(part) == 1 else part).astype(dtype)


def call_conv2d(layer: Layer) -> list[Call]:
    """One position after the other."""
    op = layer.node.op
    assert isinstance(op, Conv2D)
    window = window_of(layer, op.stride, op.dilation, (op.padding[0][0], op.padding[1][0]))
    direct = is_matrix_product(op, layer.ins, layer.outs)
    return [_products(layer, "conv2d_s16", window, op.activation, op.groups, direct=direct)]


def call_dense(layer: Layer) -> list[Call]:
    """A 1x1 convolution over as many positions as there are vectors."""
    op = layer.node.op
    assert isinstance(op, Dense)
    outputs, inputs = layer.array(1).shape
    vectors = layer.outs[0].elements // outputs
    before, after = replace(layer.ins[0], shape=(1, 1, vectors, inputs)), replace(layer.outs[0], shape=(1, 1, vectors, outputs))
    return [_products(layer, "conv2d_s16", window_between(before, after, (1, 1), (1, 1), (1, 1), (0, 0)), op.activation, direct=True)]


def call_depthwise_conv2d(layer: Layer) -> list[Call]:
    """One position after the other, all its channels."""
    op = layer.node.op
    assert isinstance(op, DepthwiseConv2D)
    window = window_of(layer, op.stride, op.dilation, (op.padding[0][0], op.padding[1][0]))
    if window["kernel_width"] > MOST_TAPS:
        raise UnsupportedError(f"{op.kind} {layer.node.name!r} has a window {window['kernel_width']} wide", hint=f"at most {MOST_TAPS}")
    return [_products(layer, "depthwise_conv2d_s16", window, op.activation)]


def call_transpose_conv2d(layer: Layer) -> list[Call]:
    """One output position after the other."""
    op = layer.node.op
    assert isinstance(op, TransposeConv2D)
    window = window_of(layer, op.stride, (1, 1), (op.padding[0][0], op.padding[1][0]))
    return [_products(layer, "transpose_conv2d_s16", window, op.activation)]


def call_sum(layer: Layer) -> list[Call]:
    """Add and Sub, broadcast."""
    op = layer.node.op
    assert isinstance(op, Add | Sub)
    layer.expect_types([DType.INT16] * 2, DType.INT16)
    factors = op.multipliers(layer.ins, layer.outs)
    low, high = activation_range(op.activation, layer.outs[0])
    parameters: dict[str, Parameter] = {
        **broadcast_of(layer),
        "left_shift": factors.left_shift,
        **factor_fields("first", factors.first),
        **factor_fields("second", factors.second),
        "second_sign": -1 if isinstance(op, Sub) else 1,
        **factor_fields("output", factors.output),
        "output_min": low,
        "output_max": high,
    }
    return [Call("sum_s16", parameters, [layer.input(0), layer.input(1), layer.output()])]


def call_mul(layer: Layer) -> list[Call]:
    """The product, broadcast."""
    op = layer.node.op
    assert isinstance(op, Mul)
    layer.expect_types([DType.INT16] * 2, DType.INT16)
    low, high = activation_range(op.activation, layer.outs[0])
    factor = factor_fields("output", op.multipliers(layer.ins, layer.outs))
    parameters: dict[str, Parameter] = {**broadcast_of(layer), **factor, "output_min": low, "output_max": high}
    return [Call("mul_s16", parameters, [layer.input(0), layer.input(1), layer.output()])]


def call_matmul(layer: Layer) -> list[Call]:
    """Products of two activations."""
    op = layer.node.op
    assert isinstance(op, MatMul)
    layer.expect_types([DType.INT16] * 2, DType.INT16)
    factor = factor_fields("output", reduce_multiplier(op.multipliers(layer.ins, layer.outs)))
    return [Call("matmul_s16", {**matrices_of(layer, op.transposed), **factor}, [layer.input(0), layer.input(1), layer.output()])]


def call_pool(layer: Layer) -> list[Call]:
    """Maximum and average pooling."""
    op = layer.node.op
    assert isinstance(op, MaxPool2D | AveragePool2D)
    layer.expect_types([DType.INT16], DType.INT16)
    window = window_between(layer.ins[0], layer.outs[0], op.kernel, op.stride, (1, 1), (op.padding[0][0], op.padding[1][0]))
    _check_averaged(layer, 1 if isinstance(op, MaxPool2D) else op.kernel[0] * op.kernel[1])
    low, high = activation_range(op.activation, layer.outs[0])
    kernel = "max_pool2d_s16" if isinstance(op, MaxPool2D) else "average_pool2d_s16"
    return [Call(kernel, {"window": window, "output_min": low, "output_max": high}, [layer.input(), layer.output()])]


def call_mean(layer: Layer) -> list[Call]:
    """The mean over at most two runs of neighbouring axes."""
    op = layer.node.op
    assert isinstance(op, Mean)
    layer.expect_types([DType.INT16], DType.INT16)
    _check_averaged(layer, op.count(layer.ins))
    parameters: dict[str, Parameter] = {**mean_walks(layer, op.axes), **factor_fields("output", op.multipliers(layer.ins, layer.outs))}
    return [Call("mean_s16", parameters, [layer.input(), layer.output()])]


def _check_averaged(layer: Layer, count: int) -> None:
    if count > MOST_AVERAGED:
        raise UnsupportedError(f"{layer.node.op.kind} {layer.node.name!r} averages {count:,} numbers", hint=f"at most {MOST_AVERAGED:,}")


def call_softmax(layer: Layer) -> list[Call]:
    """Softmax by tables."""
    op = layer.node.op
    assert isinstance(op, Softmax)
    layer.expect_types([DType.INT16], DType.INT16)
    rows, depth = rows_of(layer)
    factor = difference_factor(op.beta, layer.ins[0])
    parameters: dict[str, Parameter] = {
        "rows": rows,
        "depth": depth,
        "multiplier": factor.multiplier[0],
        "shift": factor.shift[0],
        "exponentials": Table("exponentials", exponentials()),
        "reciprocals": Table("reciprocals", reciprocals()),
    }
    return [Call("softmax_s16", parameters, [layer.input(), layer.output()])]


def call_gate(layer: Layer) -> list[Call]:
    """Sigmoid and Tanh, interpolated in one table."""
    layer.expect_types([DType.INT16], DType.INT16)
    tanh = isinstance(layer.node.op, Tanh)
    multiplier, right = thirds_factor(tensor_quant(layer.ins[0])[0], 1 if tanh else 0)
    table = Table("table", sigmoid_table())
    parameters: dict[str, Parameter] = {"count": layer.outs[0].elements, "multiplier": multiplier, "right": right, "table": table}
    return [Call("tanh_s16" if tanh else "logistic_s16", parameters, [layer.input(), layer.output()])]


def call_requantize(layer: Layer) -> list[Call]:
    """Requantize, and rectifiers: from one grid to another with a slope below zero."""
    op, source, target = layer.node.op, layer.ins[0], layer.outs[0]
    assert isinstance(op, Requantize | Relu | Relu6 | LeakyRelu)
    ratio = quantize_multipliers([tensor_quant(source)[0] / tensor_quant(target)[0]])
    identity, slope = op.multipliers(layer.ins, layer.outs) if isinstance(op, LeakyRelu) else (ratio, ratio)
    low, high = activation_range({Relu: "relu", Relu6: "relu6"}.get(type(op), "none"), target)
    parameters: dict[str, Parameter] = {
        "count": target.elements,
        "input_zero_point": tensor_quant(source)[1],
        "output_zero_point": tensor_quant(target)[1],
        **factor_fields("identity", identity),
        **factor_fields("slope", slope),
        "slope_sign": -1 if isinstance(op, LeakyRelu) and op.alpha < 0 else 1,
        "output_min": low,
        "output_max": high,
    }
    types = [value.dtype for value in (source, target)]
    if any(dtype not in SHORT for dtype in types):
        layer.expect_types([DType.INT16], DType.INT16)
    return [Call(f"requantize_{SHORT[types[0]]}_{SHORT[types[1]]}", parameters, [layer.input(), layer.output()])]


def call_prelu(layer: Layer) -> list[Call]:
    """Slopes by channel, of 8 bits."""
    op = layer.node.op
    assert isinstance(op, PRelu)
    layer.expect_types([DType.INT16, DType.INT8], DType.INT16)
    identity, slope = op.multipliers(layer.ins, layer.outs)
    slopes = layer.array(1).astype(np.int16) - np.int16(tensor_quant(layer.ins[1])[1])
    parameters: dict[str, Parameter] = {
        "positions": layer.outs[0].elements // max(slopes.size, 1),
        "channels": slopes.size,
        **factor_fields("identity", identity),
        **factor_fields("slope", slope),
        "slopes": Table("slopes", slopes),
    }
    return [Call("prelu_s16", parameters, [layer.input(), layer.output()])]


def call_quantize(layer: Layer) -> list[Call]:
    """From float32, at the edge of the network."""
    layer.expect_types([DType.FLOAT32], DType.INT16)
    parameters: dict[str, Parameter] = {"count": layer.outs[0].elements, "scale": tensor_quant(layer.outs[0])[0]}
    return [Call("quantize_f32_s16", parameters, [layer.input(), layer.output()])]


def call_dequantize(layer: Layer) -> list[Call]:
    """To float32, at the edge of the network."""
    layer.expect_types([DType.INT16], DType.FLOAT32)
    parameters: dict[str, Parameter] = {"count": layer.outs[0].elements, "scale": tensor_quant(layer.ins[0])[0]}
    return [Call("dequantize_s16_f32", parameters, [layer.input(), layer.output()])]


WIDE: Mapping[str, Callable[[Layer], list[Call]]] = {
    "Add": call_sum,
    "AveragePool2D": call_pool,
    "Conv2D": call_conv2d,
    "Dense": call_dense,
    "DepthwiseConv2D": call_depthwise_conv2d,
    "Dequantize": call_dequantize,
    "LeakyRelu": call_requantize,
    "MatMul": call_matmul,
    "MaxPool2D": call_pool,
    "Mean": call_mean,
    "Mul": call_mul,
    "PRelu": call_prelu,
    "Quantize": call_quantize,
    "Relu": call_requantize,
    "Relu6": call_requantize,
    "Requantize": call_requantize,
    "Sigmoid": call_gate,
    "Softmax": call_softmax,
    "Sub": call_sum,
    "Tanh": call_gate,
    "TransposeConv2D": call_transpose_conv2d,
}
"""Operators with kernels of their own for int16; what only moves elements has one for all types."""
