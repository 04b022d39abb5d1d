"""Convolutions and dense layers as calls of kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgewright.emit.c.layer import Call, Layer, Parameter, Table, Workspace, known, steps_of
from edgewright.emit.c.packing import (
    fill_rows,
    fold_zero_point,
    pack_dense_simd,
    pack_indices,
    pack_portable,
    pack_simd,
    plain_bias,
    units_of,
)
from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Value
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.requant import Multiplier, activation_range, output_multiplier, tensor_quant
from edgewright.ops.transpose_conv2d import TransposeConv2D
from edgewright.targets.stored import Stored, packed_rows
from edgewright.targets.workspace import depthwise_layout, is_matrix_product, is_plain


def call_conv2d(layer: Layer) -> list[Call]:
    """The convolution kernel of the target."""
    op = layer.node.op
    assert isinstance(op, Conv2D)
    if layer.frugal:
        weight, bias = constants_of(layer)
        return [_dense(layer, weight.reshape(weight.shape[0], -1), bias, layer.outs[0].elements // weight.shape[0], op.activation)]
    window = window_of(layer, op.stride, op.dilation, (op.padding[0][0], op.padding[1][0]))
    return [_conv2d(layer, window, op.groups, op.activation, direct=is_matrix_product(op, layer.ins, layer.outs))]


def call_depthwise_conv2d(layer: Layer) -> list[Call]:
    """One channel after the other; a picture of one channel is convolved as any other."""
    op = layer.node.op
    assert isinstance(op, DepthwiseConv2D)
    window = window_of(layer, op.stride, op.dilation, (op.padding[0][0], op.padding[1][0]))
    if is_plain(op, layer.ins):
        return [_conv2d(layer, window, 1, op.activation, direct=False)]
    weight, bias = constants_of(layer)
    layout = depthwise_layout(op, layer.ins, layer.outs, layer.kernels)
    inner, outer = steps_of(known(layer.ins[0].shape)), steps_of(known(layer.outs[0].shape))
    steps = {"input_row": inner[1], "input_column": inner[2], "output_row": outer[1], "output_column": outer[2]}
    if layout.exchanged:
        window = _exchanged(window)
        weight = weight.transpose(0, 2, 1, 3)
        steps = {"input_row": inner[2], "input_column": inner[1], "output_row": outer[2], "output_column": outer[1]}
    zero_point = tensor_quant(layer.ins[0])[1]
    factors, bounds = output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0]), bounds_of(layer, op.activation)
    parameters: dict[str, Parameter] = {
        "window": window,
        **steps,
        "strip": layout.strip,
        "simple": _is_simple(factors, bounds),
        "input_zero_point": zero_point,
        **bounds,
        "weights": Table("weights", np.ascontiguousarray(weight).astype(np.int8)),
        "bias": Table("bias", fold_zero_point(weight, bias, zero_point)),
        **factors_of(factors, weight.shape[0], doubled=layer.simd),
    }
    return [Call(_depthwise_kernel(layer, window), parameters, [layer.input(), layer.output(), Workspace()], "depthwise_layer")]


def call_transpose_conv2d(layer: Layer) -> list[Call]:
    """The transposed convolution kernel that takes output by output."""
    op = layer.node.op
    assert isinstance(op, TransposeConv2D)
    weight, bias = constants_of(layer)
    parameters: dict[str, Parameter] = {
        "window": window_of(layer, op.stride, (1, 1), (op.padding[0][0], op.padding[1][0])),
        "input_zero_point": tensor_quant(layer.ins[0])[1],
        **bounds_of(layer, op.activation),
        "weights": Table("weights", weight.astype(np.int8)),
        "bias": Table("bias", plain_bias(bias, weight.shape[0])),
        **factors_of(output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0]), weight.shape[0]),
    }
    return [Call("transpose_conv2d_s8", parameters, [layer.input(), layer.output()])]


def call_dense(layer: Layer) -> list[Call]:
    """A dense layer on several vectors is a 1x1 convolution over as many positions."""
    op = layer.node.op
    assert isinstance(op, Dense)
    weight, bias = constants_of(layer)
    outputs, inputs = weight.shape
    vectors = layer.outs[0].elements // outputs
    if vectors != 1 and layer.frugal:
        return [_dense(layer, weight, bias, vectors, op.activation)]
    if vectors != 1:
        factors = output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0])
        pixels = replace(layer.ins[0], shape=(1, 1, vectors, inputs)), replace(layer.outs[0], shape=(1, 1, vectors, outputs))
        window = window_between(pixels[0], pixels[1], (1, 1), (1, 1), (1, 1), (0, 0))
        return [_conv2d(layer, window, 1, op.activation, direct=True, factors=factors)]
    if layer.stored is not None:
        return [_packed_dense(layer, layer.stored, weight, bias, op.activation)]
    return [_dense(layer, weight, bias, 1, op.activation)]


def _packed_dense(
    layer: Layer, packing: Stored, weight: NDArray[np.generic], bias: NDArray[np.generic] | None, activation: str
) -> Call:
    outputs, inputs = weight.shape
    parameters: dict[str, Parameter] = {
        "inputs": inputs,
        "outputs": outputs,
        **bounds_of(layer, activation),
        **packed(layer, packing, weight, 1),
        "bias": Table("bias", fold_zero_point(weight, bias, tensor_quant(layer.ins[0])[1])),
        **factors_of(output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0]), outputs),
    }
    return Call("dense_packed_s8", parameters, [layer.input(), layer.output()])


def _dense(layer: Layer, weight: NDArray[np.generic], bias: NDArray[np.generic] | None, vectors: int, activation: str) -> Call:
    """``weight``: outputs x inputs. Several ``vectors`` with the DSP instructions only."""
    outputs, inputs = weight.shape
    factors = output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0])
    zero_point, bounds = tensor_quant(layer.ins[0])[1], bounds_of(layer, activation)
    parameters: dict[str, Parameter] = {
        "inputs": inputs,
        "outputs": outputs,
        **({"vectors": vectors} if layer.simd else {}),
        "simple": _is_simple(factors, bounds),
        **bounds,
        "weights": Table("weights", pack_dense_simd(weight) if layer.simd else weight.astype(np.int8)),
        "bias": Table("bias", fold_zero_point(weight, bias, zero_point)),
        **factors_of(factors, outputs, doubled=layer.simd),
    }
    whole = (("EW_DENSE_WHOLE_BLOCKS", outputs % 4 == 0), ("EW_DENSE_WHOLE_WORDS", inputs % 4 == 0))
    permits = frozenset(macro for macro, permitted in whole if permitted and layer.simd)
    return Call("dense_s8", parameters, [layer.input(), layer.output()], permits=permits)


def _conv2d(
    layer: Layer, window: Mapping[str, int], groups: int, activation: str, *, direct: bool, factors: Multiplier | None = None
) -> Call:
    factors = factors or output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0])
    return products(layer, window, groups, activation, *constants_of(layer), factors, direct=direct)


def products(
    layer: Layer,
    window: Mapping[str, int],
    groups: int,
    activation: str,
    weight: NDArray[np.generic],
    bias: NDArray[np.generic] | None,
    factors: Multiplier,
    *,
    direct: bool,
) -> Call:
    """A convolution of the layer's input with ``weight`` (OHWI) to its output. ``direct``: of one pixel that sees every pixel once."""
    zero_point, bounds = tensor_quant(layer.ins[0])[1], bounds_of(layer, activation)
    packing = layer.stored
    fill = 0 if packing is None else packing.fill
    rows = pack_simd(weight, groups, fill) if layer.simd else pack_portable(weight, groups)
    summed = fill_rows(weight, fill) if layer.simd else weight  # Where rows are filled up, the data are zero points.
    weights = {"weights": Table("weights", rows)} if packing is None else packed(layer, packing, rows, groups)
    parameters: dict[str, Parameter] = {
        "window": window,
        "groups": groups,
        "direct": direct,
        "simple": _is_simple(factors, bounds),
        "input_zero_point": zero_point,
        **bounds,
        **weights,
        "bias": Table("bias", fold_zero_point(summed, bias, zero_point)),
        **factors_of(factors, weight.shape[0], doubled=layer.simd),
    }
    kernel = "conv2d_s8" if packing is None else "conv2d_packed_s8"
    fours = layer.simd and window["kernel_width"] * window["input_channels"] // groups % 4 == 0
    permits = frozenset({"EW_CONV2D_WHOLE_FOURS"} if fours and packing is None else ())
    return Call(kernel, parameters, [layer.input(), layer.output(), Workspace()], permits=permits)


def packed(layer: Layer, packing: Stored, rows: NDArray[np.generic], groups: int) -> dict[str, Parameter]:
    """The fields of weights of a few bits; ``rows``: in the order in which the kernel wants them unpacked."""
    many, length = packed_rows(layer.graph, layer.node, layer.kernels)
    values = Table("values", np.array(packing.values + (0,) * ((1 << packing.bits) - len(packing.values)), np.int8))
    indices = Table("weights", pack_indices(units_of(rows, groups, many, length), packing))
    return {"bits": packing.bits, "step": packing.step, "values": values, "weights": indices}


def constants_of(layer: Layer) -> tuple[NDArray[np.generic], NDArray[np.generic] | None]:
    """Weight and bias of a layer whose data and weights are int8."""
    layer.expect_types([DType.INT8, DType.INT8], DType.INT8)
    if len(layer.ins) > 2 and layer.ins[2].dtype is not DType.INT32:
        raise UnsupportedError(f"the bias of {layer.node.name!r} is {layer.ins[2].dtype.value}", hint="the C kernels take int32 biases")
    quant = layer.ins[1].quant
    if quant is None or any(quant.zero_point):
        raise UnsupportedError(f"the weights of {layer.node.name!r} are not symmetric", hint="quantize them with zero point 0")
    return layer.array(1), layer.array(2) if len(layer.ins) > 2 else None


def factors_of(factors: Multiplier, channels: int, *, doubled: bool = False) -> dict[str, Parameter]:
    """A multiplier (twice that, modulo 2**32, for kernels that read it so) and a shift for each output channel."""
    multiplier, shift = (np.array(part * channels if len(part) == 1 else part, np.int64) for part in (factors.multiplier, factors.shift))
    words = (multiplier * (2 if doubled else 1)).astype(np.uint32).view(np.int32)
    return {"multiplier": Table("multiplier", words), "shift": Table("shift", shift.astype(np.int8))}


def _depthwise_kernel(layer: Layer, window: Mapping[str, int]) -> str:
    """The kernel for windows of that size, where there is one."""
    kernel = window["kernel_height"], window["kernel_width"]
    if (window["dilation_height"], window["dilation_width"]) == (1, 1) and window["stride_height"] == window["stride_width"] <= 2:
        if kernel == (3, 3):
            return "depthwise_3x3_s8"
        if kernel == (5, 5) and layer.simd:
            return "depthwise_5x5_s8"
    return "depthwise_conv2d_s8"


def _is_simple(factors: Multiplier, bounds: Mapping[str, int]) -> bool:
    """Whether all factors are below 1/2 and the bounds those of int8: the case that the kernels for DSP instructions are fastest in."""
    return max(factors.shift) < 0 and (bounds["output_min"], bounds["output_max"]) == (-128, 127)


def bounds_of(layer: Layer, activation: str) -> dict[str, int]:
    """The zero point of the output, and its smallest and largest integer after the fused ``activation``."""
    low, high = activation_range(activation, layer.outs[0])
    return {"output_zero_point": tensor_quant(layer.outs[0])[1], "output_min": low, "output_max": high}


def window_of(layer: Layer, stride: Sequence[int], dilation: Sequence[int], padding: Sequence[int]) -> dict[str, int]:
    """The fields of ``struct ew_window`` for a layer whose input 1 is its weight."""
    kernel = known(layer.ins[1].shape)[1:3]
    return window_between(layer.ins[0], layer.outs[0], kernel, stride, dilation, padding)


def window_between(
    before: Value, after: Value, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], padding: Sequence[int]
) -> dict[str, int]:
    """The fields of ``struct ew_window`` for a kernel that slides over ``before``; UnsupportedError where the batch is not 1."""
    batch, *inner = known(before.shape)
    outer = known(after.shape)[1:]
    if batch != 1:
        raise UnsupportedError(
            f"value {before.name!r} has a fixed batch of {batch}", hint="export the network with a batch of 1 or a dynamic batch"
        )
    return window_fields(inner, outer, kernel, stride, dilation, padding)


def window_fields(
    inner: Sequence[int],
    outer: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
) -> dict[str, int]:
    """The fields of ``struct ew_window``; ``inner`` and ``outer`` are (height, width, channels).

    A kernel of one row or column has no dilation there: kernels take neighbouring pixels as one run of bytes where it is 1.
    """
    return {
        "input_height": inner[0],
        "input_width": inner[1],
        "input_channels": inner[2],
        "output_height": outer[0],
        "output_width": outer[1],
        "output_channels": outer[2],
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
        "stride_height": stride[0],
        "stride_width": stride[1],
        "dilation_height": dilation[0] if kernel[0] > 1 else 1,
        "dilation_width": dilation[1] if kernel[1] > 1 else 1,
        "padding_top": padding[0],
        "padding_left": padding[1],
    }


def _exchanged(window: Mapping[str, int]) -> dict[str, int]:
    """The window with height and width exchanged."""
    names = {"height": "width", "width": "height", "top": "left", "left": "top"}
    return {field: window["_".join([stem, names.get(end, end)])] for field in window for stem, _, end in [field.rpartition("_")]}
