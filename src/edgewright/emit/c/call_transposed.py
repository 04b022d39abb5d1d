"""Transposed convolutions as calls of the kernel that computes rows of them as convolutions."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgewright.emit.c import call_convolution, call_helium
from edgewright.emit.c.call_convolution import constants_of, window_of
from edgewright.emit.c.layer import Call, Layer, Parameter, Workspace
from edgewright.ops.requant import Multiplier, output_multiplier
from edgewright.ops.transpose_conv2d import TransposeConv2D
from edgewright.targets.transposed import Phase, phases
from edgewright.targets.workspace import is_matrix_product
from edgewright.targets.workspace_helium import is_contiguous


def call_transpose_conv2d(layer: Layer) -> list[Call]:
    """A call for each remainder of output rows by the stride; one for all, output by output, where that is not worth it."""
    op = layer.node.op
    assert isinstance(op, TransposeConv2D)
    found = phases(op, layer.ins, layer.outs, layer.kernels)
    return [_rows(layer, op, phase) for phase in found] or call_convolution.call_transpose_conv2d(layer)


def _rows(layer: Layer, op: TransposeConv2D, phase: Phase) -> Call:
    weight, bias = constants_of(layer)
    columns = len(phase.taps)
    conv, ins, outs = phase.convolution(op, layer.ins, layer.outs)
    like = dataclasses.replace(layer, ins=(*ins, *layer.ins[2:]), outs=tuple(outs))
    window = {**window_of(like, conv.stride, conv.dilation, phase.padding), "output_height": 1}
    factors = output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0])
    many = columns if len(factors.multiplier) > 1 else 1
    each = Multiplier(factors.multiplier * many, factors.shift * many)
    direct = is_matrix_product(conv, ins, outs)
    constants = phase.weight(weight), None if bias is None else np.tile(bias, columns)
    if "helium" in layer.kernels:
        row = call_helium.products(layer, window, 1, op.activation, *constants, each, contiguous=is_contiguous(conv, ins))
    else:
        row = call_convolution.products(layer, window, 1, op.activation, *constants, each, direct=direct)
    before, after = (value.elements // int(value.shape[1] or 1) for value in (layer.ins[0], layer.outs[0]))
    steps: dict[str, Parameter] = {"lower": not direct, "input_step": before * direct, "output_step": op.stride[0] * after}
    return Call(
        "transpose_rows_s8",
        {"row": row.parameters, "rows": phase.rows, **steps},
        [layer.input(), layer.output(phase.first * after), Workspace()],
        permits=row.permits,
        within=row.kernel,
    )
