"""Convolutions and dense layers whose weights are mostly zeros as calls of kernels that pass over these."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgewright.emit.c.call_convolution import bounds_of, constants_of, factors_of, window_between, window_of
from edgewright.emit.c.layer import Call, Layer, Parameter, Table, Workspace
from edgewright.emit.c.packing import fold_zero_point
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.requant import output_multiplier, tensor_quant
from edgewright.targets.sparse import LONGEST_GAP


def call_sparse(layer: Layer) -> list[Call]:
    """A dense layer on several vectors is a 1x1 convolution over as many positions."""
    op = layer.node.op
    assert isinstance(op, Conv2D | Dense)
    weight, bias = constants_of(layer)
    zero_point = tensor_quant(layer.ins[0])[1]
    counts, entries = pack_entries(weight.reshape(len(weight), -1))
    numbers: dict[str, Parameter] = {
        **bounds_of(layer, op.activation),
        "counts": Table("counts", counts),
        "weights": Table("weights", entries),
        "bias": Table("bias", fold_zero_point(weight, bias, zero_point)),
        **factors_of(output_multiplier(layer.ins[0], layer.ins[1], layer.outs[0]), len(weight)),
    }
    if isinstance(op, Dense):
        outputs, inputs = weight.shape
        vectors = layer.outs[0].elements // outputs
        if vectors == 1:
            return [Call("dense_sparse_s8", {"inputs": inputs, "outputs": outputs, **numbers}, [layer.input(), layer.output()])]
        before, after = replace(layer.ins[0], shape=(1, 1, vectors, inputs)), replace(layer.outs[0], shape=(1, 1, vectors, outputs))
        window = window_between(before, after, (1, 1), (1, 1), (1, 1), (0, 0))
    else:
        window = window_of(layer, op.stride, op.dilation, (op.padding[0][0], op.padding[1][0]))
    parameters: dict[str, Parameter] = {"window": window, "input_zero_point": zero_point, **numbers}
    return [Call("conv2d_sparse_s8", parameters, [layer.input(), layer.output(), Workspace()])]


def pack_entries(rows: NDArray[np.generic]) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Entries of each row, and for each two bytes: the inputs passed over since the last, and the weight of the next.

    A gap that is longer than a byte tells has entries of weight 0 on its way.
    """
    counts, parts = [], []
    for row in rows:
        places = np.flatnonzero(row)
        entries: list[tuple[int, int]] = []
        at = 0
        for place in places.tolist():
            while place - at > LONGEST_GAP:
                entries.append((LONGEST_GAP, 0))
                at += LONGEST_GAP + 1
            entries.append((place - at, int(row[place]) & 0xFF))
            at = place + 1
        counts.append(len(entries))
        parts.append(np.array(entries, np.uint8).reshape(-1))
    return np.array(counts, np.uint16), np.concatenate(parts) if parts else np.zeros(0, np.uint8)
