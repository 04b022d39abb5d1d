"""Pooling, means, softmax and interpolation as calls of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch

from edgewright.emit.c.call_convolution import window_fields
from edgewright.emit.c.call_movement import call_resize_nearest
from edgewright.emit.c.layer import Call, Layer, Parameter, Table, known, steps_of
from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.fixed_point import SUM_INTEGER_BITS, exp_on_negative, scaled_difference
from edgewright.ops.log_softmax import LogSoftmax
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.mean import Mean
from edgewright.ops.requant import activation_range, rounding_divide_by_pot, tensor_quant
from edgewright.ops.resize import Resize
from edgewright.ops.softmax import Softmax

MOST_DEPTH = 4095
"""Sums of exponentials are held in Q12.19: more inputs of one size would overflow them."""


def call_pool(layer: Layer) -> list[Call]:
    """Maximum and average pooling."""
    op = layer.node.op
    assert isinstance(op, MaxPool2D | AveragePool2D)
    layer.expect_int8()
    low, high = activation_range(op.activation, layer.outs[0])
    batch, *inner = known(layer.ins[0].shape)
    if batch != 1:
        raise UnsupportedError(
            f"{op.kind} {layer.node.name!r} has a fixed batch of {batch}", hint="export the network with a batch of 1 or a dynamic batch"
        )
    outer = known(layer.outs[0].shape)[1:]
    bounds = {"output_min": low, "output_max": high}
    if isinstance(op, AveragePool2D) and outer[:2] == (1, 1) and _sees_all(op, inner) and "helium" not in layer.kernels:
        pixels = {"rows": 1, "row_step": 0, "columns": inner[0] * inner[1], "channels": inner[2]}
        return [Call("average_pixels_s8", pixels | bounds, [layer.input(), layer.output()])]
    window = window_fields(inner, outer, op.kernel, op.stride, (1, 1), (op.padding[0][0], op.padding[1][0]))
    kernel = "max_pool2d_s8" if isinstance(op, MaxPool2D) else "average_pool2d_s8"
    return [Call(kernel, {"window": window, **bounds}, [layer.input(), layer.output()])]


def _sees_all(op: AveragePool2D, inner: Sequence[int]) -> bool:
    """Whether the first window contains all of the picture of ``inner`` (height, width, channels)."""
    return all(op.kernel[axis] - op.padding[axis][0] >= inner[axis] for axis in (0, 1))


def call_mean(layer: Layer) -> list[Call]:
    """The mean over at most two runs of neighbouring axes."""
    op = layer.node.op
    assert isinstance(op, Mean)
    layer.expect_int8()
    factor = op.multipliers(layer.ins, layer.outs)
    parameters: dict[str, Parameter] = {
        **mean_walks(layer, op.axes),
        "input_offset": tensor_quant(layer.ins[0])[1] * op.count(layer.ins),
        "output_zero_point": tensor_quant(layer.outs[0])[1],
        "output_multiplier": factor.multiplier[0],
        "output_shift": factor.shift[0],
    }
    return [Call("mean_s8", parameters, [layer.input(), layer.output()])]


def mean_walks(layer: Layer, over: Sequence[int]) -> dict[str, Parameter]:
    """How the kernels of means walk over axes that are kept and averaged."""
    shape = known(layer.ins[0].shape)
    axes = [(axis in over, size, step) for axis, (size, step) in enumerate(zip(shape, steps_of(shape), strict=True)) if size > 1]
    walks: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for averaged, run in groupby(axes, key=lambda axis: axis[0]):
        members = list(run)
        walks[averaged].append((int(np.prod([size for _, size, _ in members])), members[-1][2]))
    if max(len(walk) for walk in walks.values()) > 2:
        raise UnsupportedError(f"Mean {layer.node.name!r} averages over more than two separate runs of axes", hint="split it into two")
    (kept, kept_step), (averaged_sizes, averaged_step) = (_two(walks[side]) for side in (False, True))
    return {"kept": kept, "kept_step": kept_step, "averaged": averaged_sizes, "averaged_step": averaged_step}


def call_softmax(layer: Layer) -> list[Call]:
    """Softmax with its exponentials, of every difference that counts, from a table."""
    op = layer.node.op
    assert isinstance(op, Softmax)
    layer.expect_int8()
    rows, depth = rows_of(layer)
    parameters = op.parameters(layer.ins)
    differences = torch.arange(0, max(parameters.smallest_difference, -255) - 1, -1)
    exponentials = exp_on_negative(scaled_difference(differences, parameters)).numpy()
    # What adds nothing to the sum gives nothing either.
    heard = exponentials[rounding_divide_by_pot(torch.from_numpy(exponentials), SUM_INTEGER_BITS).numpy() > 0]
    fields: dict[str, Parameter] = {
        "rows": rows,
        "depth": depth,
        "counted": len(heard),
        "exponentials": Table("exponentials", heard.astype(np.int32)),
    }
    return [Call("softmax_s8", fields, [layer.input(), layer.output()])]


def call_log_softmax(layer: Layer) -> list[Call]:
    """Log softmax with its differences and exponentials from tables."""
    op = layer.node.op
    assert isinstance(op, LogSoftmax)
    layer.expect_int8()
    rows, depth = rows_of(layer)
    forward, back = op.parameters(layer.ins)
    smallest = max(forward.smallest_difference, -255)
    scaled = scaled_difference(torch.arange(0, smallest - 1, -1), forward)
    terms = rounding_divide_by_pot(exp_on_negative(scaled), SUM_INTEGER_BITS)
    fields: dict[str, Parameter] = {
        "rows": rows,
        "depth": depth,
        "counted": len(scaled),
        "smallest": smallest,
        "multiplier": back.multiplier[0],
        "shift": back.shift[0],
        "differences": Table("differences", scaled.numpy().astype(np.int32)),
        "exponentials": Table("exponentials", terms.numpy().astype(np.int32)),
    }
    return [Call("log_softmax_s8", fields, [layer.input(), layer.output()])]


def call_resize(layer: Layer) -> list[Call]:
    """Nearest neighbour or bilinear."""
    op = layer.node.op
    assert isinstance(op, Resize)
    if op.mode == "nearest":
        return call_resize_nearest(layer)
    dtype = layer.ins[0].dtype if layer.ins[0].dtype is DType.INT16 else DType.INT8
    layer.expect_types([dtype], dtype)
    inner, outer = known(layer.ins[0].shape), known(layer.outs[0].shape)
    upper, lower, down = op.between_integer(inner[1], outer[1])
    left, right, across = op.between_integer(inner[2], outer[2])
    fields: dict[str, Parameter] = {"input_width": inner[2], "output_height": outer[1], "output_width": outer[2], "channels": inner[3]}
    for name, indices in (("upper_rows", upper), ("lower_rows", lower), ("left_columns", left), ("right_columns", right)):
        fields[name] = Table(name, indices.astype(np.uint16))
    for name, distances in (("row_distance", down), ("column_distance", across)):
        fields[name] = Table(name, distances.astype(np.int16))
    return [Call("resize_bilinear_s16" if dtype is DType.INT16 else "resize_bilinear_s8", fields, [layer.input(), layer.output()])]


def rows_of(layer: Layer) -> tuple[int, int]:
    """How many rows a kernel over the last axis sees, and the length of each."""
    depth = known(layer.ins[0].shape)[-1]
    if depth > MOST_DEPTH:
        raise UnsupportedError(
            f"{layer.node.op.kind} {layer.node.name!r} over {depth} classes", hint=f"its integer form holds at most {MOST_DEPTH}"
        )
    return layer.ins[0].elements // depth, depth


def _two(walk: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    padded = [(1, 0)] * (2 - len(walk)) + walk
    return [size for size, _ in padded], [step for _, step in padded]
