"""Layers as calls of those Helium kernels that take other parameters than the portable ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgewright.emit.c.call_convolution import bounds_of, constants_of, window_between, window_of
from edgewright.emit.c.call_elementwise import broadcast_of, factor_fields, output_fields
from edgewright.emit.c.layer import Call, Layer, Parameter, Table, Workspace
from edgewright.emit.c.packing import fold_zero_point
from edgewright.emit.c.packing_helium import order_planes, order_tiles, pack_planes, pack_tiles
from edgewright.errors import UnsupportedError
from edgewright.ops.add import Add
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.requant import Multiplier, output_multiplier, tensor_quant
from edgewright.ops.sub import Sub
from edgewright.targets.workspace_helium import depthwise_tile, is_contiguous, is_inside

SUM_BITS = 20
"""Extra bits of the operands of a sum."""
TILE = 16
"""Output channels that the matrix kernel takes at once, in an order of their own; fewer are the rest of a group."""
HALF = Multiplier((1 << 30,), (0,))


def rounding_of(shifts: tuple[int, ...], bounds: Mapping[str, int]) -> int:
    """The cheapest of the kernels' ways to round that is exact: EW_UP 0, EW_AWAY 1, EW_ANY 2."""
    if max(shifts) <= 0 and bounds["output_min"] >= bounds["output_zero_point"]:
        return 0
    return 1 if max(shifts) < 0 else 2


def call_conv2d(layer: Layer) -> list[Call]:
    """With one output position that sees the whole input in one piece, a convolution is a dense layer."""
    op = layer.node.op
    assert isinstance(op, Conv2D)
    contiguous = is_contiguous(op, layer.ins)
    if op.groups == 1 and layer.outs[0].shape[1:3] == (1, 1) and contiguous and is_inside(op, layer.ins, layer.outs):
        return [_vector(layer, op.activation)]
    window = window_of(layer, op.stride, op.dilation, (op.padding[0][0], op.padding[1][0]))
    return [_conv2d(layer, window, op.groups, op.activation, contiguous)]


def call_depthwise_conv2d(layer: Layer) -> list[Call]:
    """With one input channel a depthwise convolution is a convolution."""
    op = layer.node.op
    assert isinstance(op, DepthwiseConv2D)
    window = window_of(layer, op.stride, op.dilation, (op.padding[0][0], op.padding[1][0]))
    if layer.ins[0].shape[3] == 1:
        return [_conv2d(layer, window, 1, op.activation, is_contiguous(op, layer.ins))]
    weight, bias = constants_of(layer)
    tile, zero_point, bounds = depthwise_tile(op, layer.ins, layer.outs), tensor_quant(layer.ins[0])[1], bounds_of(layer, op.activation)
    factors = output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0])
    multiplier, shift = _per_channel(factors, weight.shape[0])
    parameters: dict[str, Parameter] = {
        "window": window,
        "rows": tile.rows,
        "columns": tile.columns,
        "pairs": bool(weight.min() > -128),
        "rounding": rounding_of(factors.shift, bounds),
        "input_zero_point": zero_point,
        **bounds,
        "weights": Table("weights", pack_planes(weight)),
        "bias": Table("bias", order_planes(fold_zero_point(weight, bias, zero_point))),
        "multiplier": Table("multiplier", order_planes(multiplier)),
        "shift": Table("shift", order_planes(shift)),
    }
    return [Call("depthwise_conv2d_s8", parameters, [layer.input(), layer.output(), Workspace()])]


def call_dense(layer: Layer) -> list[Call]:
    """A dense layer on several vectors is a 1x1 convolution over as many positions."""
    op = layer.node.op
    assert isinstance(op, Dense)
    weight, _ = constants_of(layer)
    outputs, inputs = weight.shape
    vectors = layer.outs[0].elements // outputs
    if vectors == 1:
        return [_vector(layer, op.activation)]
    pixels = replace(layer.ins[0], shape=(1, 1, vectors, inputs)), replace(layer.outs[0], shape=(1, 1, vectors, outputs))
    window = window_between(pixels[0], pixels[1], (1, 1), (1, 1), (1, 1), (0, 0))
    return [_conv2d(layer, window, 1, op.activation, True)]


def call_sum(layer: Layer) -> list[Call]:
    """Sums and differences; of two summands, the one whose factor is 1/2 comes first, as the kernel takes that for exact."""
    op = layer.node.op
    assert isinstance(op, Add | Sub)
    layer.expect_int8(2)
    factors = op.multipliers(layer.ins, layer.outs)
    if factors.left_shift != SUM_BITS or max(factor.shift[0] for factor in (factors.first, factors.second, factors.output)) > 0:
        raise UnsupportedError(f"{op.kind} {layer.node.name!r} has factors above 1", hint="calibrate with data that exercise its output")
    broadcast, sides = broadcast_of(layer), [("first", factors.first), ("second", factors.second)]
    order = (1, 0) if isinstance(op, Add) and factors.first != HALF and factors.second == HALF else (0, 1)
    parameters: dict[str, Parameter] = {
        "sizes": broadcast["sizes"],
        **{f"{name}_step": broadcast[f"{sides[index][0]}_step"] for name, index in zip(("first", "second"), order, strict=True)},
        "halved": sides[order[0]][1] == HALF,
    }
    for name, index in zip(("first", "second"), order, strict=True):
        parameters |= {f"{name}_zero_point": tensor_quant(layer.ins[index])[1], **factor_fields(name, sides[index][1])}
    parameters |= {"second_sign": -1 if isinstance(op, Sub) else 1, **output_fields(layer, factors.output, op.activation)}
    return [Call("sum_s8", parameters, [layer.input(order[0]), layer.input(order[1]), layer.output()])]


def _conv2d(layer: Layer, window: Mapping[str, int], groups: int, activation: str, contiguous: bool) -> Call:
    factors = output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0])
    return products(layer, window, groups, activation, *constants_of(layer), factors, contiguous=contiguous)


def products(
    layer: Layer,
    window: Mapping[str, int],
    groups: int,
    activation: str,
    weight: NDArray[np.generic],
    bias: NDArray[np.generic] | None,
    factors: Multiplier,
    *,
    contiguous: bool,
) -> Call:
    """A convolution of the layer's input with ``weight`` (OHWI) to its output. ``contiguous``: a window sees one piece of memory."""
    zero_point, bounds = tensor_quant(layer.ins[0])[1], bounds_of(layer, activation)
    multiplier, shift = _per_channel(factors, weight.shape[0])
    parameters: dict[str, Parameter] = {
        "window": window,
        "groups": groups,
        "whole": window["kernel_width"] == 1 or (groups == 1 and window["dilation_width"] == 1),
        "contiguous": contiguous,
        "rounding": rounding_of(factors.shift, bounds),
        "input_zero_point": zero_point,
        **bounds,
        "weights": Table("weights", pack_tiles(weight, groups)),
        "bias": Table("bias", order_tiles(fold_zero_point(weight, bias, zero_point), groups)),
        "multiplier": Table("multiplier", order_tiles(multiplier, groups)),
        "shift": Table("shift", order_tiles(shift, groups)),
    }
    narrow = frozenset({"EW_NARROW_TILES"}) if weight.shape[0] // groups < TILE else frozenset[str]()
    return Call("conv2d_s8", parameters, [layer.input(), layer.output(), Workspace()], permits=narrow)


def _vector(layer: Layer, activation: str) -> Call:
    """All inputs, in one piece, with every row of weights."""
    weight, bias = constants_of(layer)
    zero_point, bounds = tensor_quant(layer.ins[0])[1], bounds_of(layer, activation)
    factors = output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0])
    multiplier, shift = _per_channel(factors, weight.shape[0])
    parameters: dict[str, Parameter] = {
        "inputs": weight.size // weight.shape[0],
        "outputs": weight.shape[0],
        "rounding": rounding_of(factors.shift, bounds),
        **bounds,
        "weights": Table("weights", weight.astype(np.int8)),
        "bias": Table("bias", fold_zero_point(weight, bias, zero_point)),
        "multiplier": Table("multiplier", multiplier),
        "shift": Table("shift", shift),
    }
    return Call("dense_s8", parameters, [layer.input(), layer.output()])


def _per_channel(factors: Multiplier, channels: int) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Multiplier and shift for each output channel."""
    multiplier, shift = (part * channels if len(part) == 1 else part for part in (factors.multiplier, factors.shift))
    return np.array(multiplier, np.int32), np.array(shift, np.int8)
