"""Convolutions and dense layers as calls of the one kernel that computes them all in little code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgewright.emit.c.call_convolution import bounds_of, constants_of, factors_of, packed, window_between, window_of
from edgewright.emit.c.layer import Call, Layer, Parameter, Table, Workspace
from edgewright.emit.c.packing import fold_zero_point
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.requant import output_multiplier, tensor_quant
from edgewright.targets.workspace import is_matrix_product


def call_products(layer: Layer) -> list[Call]:
    """Weights as they are; a depthwise convolution has a group for each input channel, a dense layer is a 1x1 convolution."""
    op = layer.node.op
    assert isinstance(op, Conv2D | DepthwiseConv2D | Dense)
    weight, bias = constants_of(layer)
    if isinstance(op, Dense):
        outputs, inputs = weight.shape
        vectors = layer.outs[0].elements // outputs
        before, after = replace(layer.ins[0], shape=(1, 1, vectors, inputs)), replace(layer.outs[0], shape=(1, 1, vectors, outputs))
        window, groups, direct = window_between(before, after, (1, 1), (1, 1), (1, 1), (0, 0)), 1, True
    else:
        window = window_of(layer, op.stride, op.dilation, (op.padding[0][0], op.padding[1][0]))
        groups = op.groups if isinstance(op, Conv2D) else window["input_channels"]
        direct = isinstance(op, Conv2D) and is_matrix_product(op, layer.ins, layer.outs)
    zero_point, packing = tensor_quant(layer.ins[0])[1], layer.stored
    weights: dict[str, Parameter] = {"weights": Table("weights", weight.astype(np.int8))}
    parameters: dict[str, Parameter] = {
        "window": window,
        "groups": groups,
        "direct": direct,
        "input_zero_point": zero_point,
        **bounds_of(layer, op.activation),
        **(weights if packing is None else packed(layer, packing, weight, groups)),
        "bias": Table("bias", fold_zero_point(weight, bias, zero_point)),
        **factors_of(output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0]), weight.shape[0]),
    }
    return [Call("conv2d_s8" if packing is None else "conv2d_packed_s8", parameters, [layer.input(), layer.output(), Workspace()])]
