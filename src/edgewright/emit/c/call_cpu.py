"""Layers as calls of the kernels for CPUs, which take other parameters than the portable ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgewright.emit.c import call_convolution
from edgewright.emit.c.call_convolution import bounds_of, constants_of, factors_of, window_between, window_of
from edgewright.emit.c.layer import Call, Layer, Parameter, Table, Workspace
from edgewright.emit.c.packing import fold_zero_point
from edgewright.emit.c.packing_cpu import pack_blocks, pack_sparse, pad_blocks, pad_rows
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.requant import output_multiplier, tensor_quant
from edgewright.targets.workspace import is_matrix_product
from edgewright.targets.workspace_cpu import LANES, QUAD, fill_bytes, is_by_channels, is_gathered

OFFSET = 128
"""What is added to inputs for instructions that take unsigned bytes."""
MOST_INPUTS = 1024
"""The kernel for sparse weights has room for so many."""
MOST = 1 << 30
"""Sums below this are rescaled in fewer steps."""


def call_products(layer: Layer) -> list[Call]:
    """Convolutions; a dense layer is a 1x1 convolution over as many positions as there are vectors."""
    op = layer.node.op
    assert isinstance(op, Conv2D | Dense)
    positions = layer.outs[0].elements // len(layer.array(1))
    if isinstance(op, Dense) or is_matrix_product(op, layer.ins, layer.outs):
        sparse = _sparse_rows(layer, positions)
        if sparse is not None:
            return [sparse]
    if isinstance(op, Conv2D):
        return [_conv2d(layer, window_of(layer, op.stride, op.dilation, (op.padding[0][0], op.padding[1][0])), op.groups, op.activation)]
    outputs, inputs = layer.array(1).shape
    before, after = replace(layer.ins[0], shape=(1, 1, positions, inputs)), replace(layer.outs[0], shape=(1, 1, positions, outputs))
    return [_conv2d(layer, window_between(before, after, (1, 1), (1, 1), (1, 1), (0, 0)), 1, op.activation)]


def _sparse_rows(layer: Layer, positions: int) -> Call | None:
    """The kernel for weights that are mostly zeros; None where the dense one is quicker."""
    weight, _ = constants_of(layer)
    rows = weight.reshape(len(weight), -1).astype(np.int8)
    if positions < LANES or rows.shape[1] > MOST_INPUTS or np.count_nonzero(rows) > layer.sparse_share * rows.size:
        return None
    counts, sources, values = pack_sparse(rows)
    op = layer.node.op
    assert isinstance(op, Conv2D | Dense)
    numbers = _numbers(layer, 1, op.activation)
    parameters: dict[str, Parameter] = {
        "positions": positions,
        "inputs": rows.shape[1],
        "outputs": len(rows),
        **{name: number for name, number in numbers.items() if name != "input_zero_point"},
        "counts": Table("counts", counts),
        "sources": Table("sources", sources),
        "weights": Table("weights", values),
    }
    return Call("sparse_rows_s8", parameters, [layer.input(), layer.output()])


def call_depthwise_conv2d(layer: Layer) -> list[Call]:
    """All channels of a position at once; with several outputs a channel, or large windows, as the portable kernels do it."""
    op = layer.node.op
    assert isinstance(op, DepthwiseConv2D)
    window = window_of(layer, op.stride, op.dilation, (op.padding[0][0], op.padding[1][0]))
    if layer.ins[0].shape[3] == 1:
        return [_conv2d(layer, window, 1, op.activation)]
    if not is_by_channels(op, layer.ins):
        return call_convolution.call_depthwise_conv2d(layer)
    padded = (window["kernel_height"], window["kernel_width"]) == (3, 3)
    parameters: dict[str, Parameter] = {
        "window": window,
        "row_taps": QUAD if padded else window["kernel_width"],
        **_numbers(layer, 1, op.activation, QUAD if padded else 1),
    }
    return [Call("depthwise_channels_s8", parameters, [layer.input(), layer.output(), Workspace()])]


def _conv2d(layer: Layer, window: Mapping[str, int], groups: int, activation: str) -> Call:
    op = layer.node.op
    assert isinstance(op, Conv2D | Dense | DepthwiseConv2D)
    gathered = is_gathered((window["kernel_height"], window["kernel_width"], window["input_channels"] // groups))
    fill = 0 if gathered or isinstance(op, Dense) else fill_bytes(op, layer.ins, layer.outs)
    parameters: dict[str, Parameter] = {
        "window": window,
        "groups": groups,
        "gathered": gathered,
        "fill": fill,
        **_numbers(layer, groups, activation),
    }
    return Call("conv2d_s8", parameters, [layer.input(), layer.output(), Workspace()])


def _numbers(layer: Layer, groups: int, activation: str, row_multiple: int = 1) -> dict[str, Parameter]:
    """What the kernels want to know of a layer but its window; rows of weights are padded to ``row_multiple``."""
    weight, bias = constants_of(layer)
    zero_point = tensor_quant(layer.ins[0])[1]
    factors = factors_of(output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0]), weight.shape[0])
    folded = fold_zero_point(weight, bias, zero_point)
    numbers = {
        "bias": folded,
        "excess": -fold_zero_point(weight, None, OFFSET),
        **{name: table.array for name, table in factors.items() if isinstance(table, Table)},
    }
    largest = np.abs(folded.astype(np.int64)) + OFFSET * np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1)
    return {
        "input_zero_point": zero_point,
        "simple": bool(np.all(numbers["shift"].astype(np.int64) < 0) and np.all(largest < MOST)),
        **bounds_of(layer, activation),
        "weights": Table("weights", pack_blocks(pad_rows(weight, row_multiple), groups)),
        **{name: Table(name, pad_blocks(array, groups)) for name, array in numbers.items()},
    }
