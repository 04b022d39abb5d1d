"""ONNX operators that compute over channels or windows: operator name → conversion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import UnsupportedError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, as_reals
from edgewright.frontends.layout_arithmetic import mul, scalar
from edgewright.frontends.layout_attention import matmul
from edgewright.frontends.layout_compute import (
    adaptive_pool,
    batch_norm,
    convolution,
    dense,
    largest,
    length,
    mean,
    pool,
    prelu,
    resize,
    same_padding,
    softmax,
    transposed_convolution,
)
from edgewright.frontends.layout_normalize import group_norm, layer_norm
from edgewright.frontends.onnx_arguments import Arguments, Handler, axis_of


def _window(a: Arguments, kernel: Sequence[int], sizes: Sequence[int]) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Strides, dilations and padding of a window of ``kernel`` over spatial ``sizes``."""
    count = len(kernel)
    if len(sizes) != count:
        raise UnsupportedError(f"a window over {count} axes of an input with {len(sizes)} spatial ones", hint=INCONSISTENT)
    strides, dilations = a.integers("strides", [1] * count, count=count), a.integers("dilations", [1] * count, count=count)
    if min(strides + dilations + list(kernel), default=1) < 1:
        raise UnsupportedError("a window with kernel, stride or dilation below 1", hint=INCONSISTENT)
    mode = a.text("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = [same_padding(*entry, upper=mode == "SAME_UPPER") for entry in zip(sizes, kernel, strides, dilations, strict=True)]
    elif mode == "VALID":
        pads = [(0, 0)] * count
    else:
        flat = a.integers("pads", [0] * (2 * count), count=2 * count)
        pads = list(zip(flat[:count], flat[count:], strict=True))
    if any(low < 0 or high < 0 for low, high in pads):
        raise UnsupportedError("a window with negative padding", hint="crop with a Slice before it")
    return strides, dilations, pads


def _conv(door: Door, a: Arguments) -> Held:
    x, weight = a.held(0), a.known(1)
    strides, dilations, pads = _window(a, weight.array.shape[2:], x.layout.shape[2:])
    return convolution(door, x, weight, a.maybe_known(2), stride=strides, padding=pads, dilation=dilations, groups=a.integer("group", 1))


def _conv_transpose(door: Door, a: Arguments) -> Held:
    x, weight = a.held(0), a.known(1)
    kernel, sizes = weight.array.shape[2:], x.layout.shape[2:]
    count = len(kernel)
    strides, dilations = a.integers("strides", [1] * count, count=count), a.integers("dilations", [1] * count, count=count)
    extra = a.integers("output_padding", [0] * count, count=count)
    mode = a.text("auto_pad", "NOTSET")
    if "output_shape" in a.node.attributes or mode in ("SAME_UPPER", "SAME_LOWER"):
        goals = a.integers("output_shape", [size * stride for size, stride in zip(sizes, strides, strict=True)])[-count:]
        full = [
            stride * (size - 1) + more + (k - 1) * step + 1
            for stride, size, more, k, step in zip(strides, sizes, extra, kernel, dilations, strict=True)
        ]
        totals = [max(0, whole - goal) for whole, goal in zip(full, goals, strict=True)]
        pads = [(t // 2, t - t // 2) if mode == "SAME_UPPER" else (t - t // 2, t // 2) for t in totals]
    else:
        flat = [0] * (2 * count) if mode == "VALID" else a.integers("pads", [0] * (2 * count), count=2 * count)
        pads = list(zip(flat[:count], flat[count:], strict=True))
    return transposed_convolution(
        door,
        x,
        weight,
        a.maybe_known(2),
        stride=strides,
        padding=pads,
        output_padding=extra,
        dilation=dilations,
        groups=a.integer("group", 1),
    )


def _is_matrix(weight: Known) -> bool:
    return weight.array.ndim == 2 or (weight.array.ndim > 2 and all(size == 1 for size in weight.array.shape[:-2]))


def _matrix(weight: Known) -> Known:
    """A constant right factor as a matrix."""
    while weight.array.ndim > 2 and weight.array.shape[0] == 1:
        if weight.quant is not None and weight.quant.axis is not None:
            raise UnsupportedError("a stack of one quantized matrix with several scales", hint="use a plain matrix")
        weight = Known(weight.array[0], weight.name, weight.quant)
    if weight.array.ndim != 2:
        raise UnsupportedError(f"it multiplies by a constant of shape {list(weight.array.shape)}", hint="use one matrix")
    return weight


def _matmul(door: Door, a: Arguments) -> Held:
    first, second = a.operand(0), a.operand(1)
    if isinstance(second, Known) and isinstance(first, Held) and _is_matrix(second):
        return dense(door, first, _matrix(second).transposed((1, 0)), None)
    return matmul(door, first, second)



def _gemm(door: Door, a: Arguments) -> Held:
    alpha, beta = a.real("alpha", 1.0), a.real("beta", 1.0)
    if a.integer("transA", 0):
        raise UnsupportedError("it transposes the activations", hint="export the model without transA")
    weight, bias = _matrix(a.known(1)), a.maybe_known(2)
    weight = weight if a.integer("transB", 0) else weight.transposed((1, 0))
    if (alpha != 1 and weight.quant is not None) or (beta != 1 and bias is not None and bias.quant is not None):
        raise UnsupportedError("a quantized Gemm with factors", hint="use alpha = beta = 1")
    if alpha != 1:
        weight = Known(as_reals(weight) * np.float32(alpha), weight.name)
    if bias is not None and beta != 1:
        bias = Known(as_reals(bias) * np.float32(beta), bias.name)
    return dense(door, a.held(0), weight, bias)


def _layer_norm(door: Door, a: Arguments) -> list[Held | None]:
    x, scale = a.held(0), a.known(1)
    axis = axis_of(a.integer("axis", -1), x.layout.rank)
    return [layer_norm(door, x, x.layout.shape[axis:], scale, a.maybe_known(2), a.real("epsilon", 1e-5)), None, None]


def _instance_norm(door: Door, a: Arguments) -> Held:
    x = a.held(0)
    return group_norm(door, x, x.layout.shape[1], a.known(1), a.known(2), a.real("epsilon", 1e-5))


def _group_norm(door: Door, a: Arguments) -> Held:
    """Up to opset 20 a scale and an offset for each group, from 21 on for each channel."""
    x, groups = a.held(0), a.integer("num_groups", 1)
    per_group = max(1, x.layout.shape[1] // max(groups, 1))

    def by_channel(known: Known) -> Known:
        return Known(np.repeat(as_reals(known), per_group), known.name) if known.array.size == groups else known

    return group_norm(door, x, groups, by_channel(a.known(1)), by_channel(a.known(2)), a.real("epsilon", 1e-5))


def _batch_norm(door: Door, a: Arguments) -> Held:
    if a.integer("training_mode", 0):
        raise UnsupportedError("batch normalization in training mode", hint="call .eval() before exporting")
    return batch_norm(door, a.held(0), [a.known(index) for index in range(1, 5)], a.real("epsilon", 1e-5))


def _pool(kind: Literal["max", "average"]) -> Handler:
    def handler(door: Door, a: Arguments) -> list[Held | None]:
        x = a.held(0)
        kernel = a.integers("kernel_shape", count=x.layout.rank - 2)
        strides, dilations, pads = _window(a, kernel, x.layout.shape[2:])
        if any(step != 1 for step in dilations):
            raise UnsupportedError("pooling with dilation", hint="use dilation 1")
        counted = bool(a.integer("count_include_pad", 0))
        ceil = bool(a.integer("ceil_mode", 0))
        return [pool(door, x, kind, kernel=kernel, stride=strides, padding=pads, ceil=ceil, count_padding=counted), None]

    return handler


def _global_pool(kind: Literal["max", "average"]) -> Handler:
    def handler(door: Door, a: Arguments) -> Held:
        x = a.held(0)
        return adaptive_pool(door, x, kind, [1] * (x.layout.rank - 2))

    return handler


def _axes(a: Arguments, x: Held) -> list[int]:
    found = a.axes(x.layout.rank, 1)
    if found is None and a.integer("noop_with_empty_axes", 0):
        return []
    return found or list(range(x.layout.rank))


def _reduce_mean(door: Door, a: Arguments) -> Held:
    x = a.held(0)
    return mean(door, x, _axes(a, x), keep_dims=bool(a.integer("keepdims", 1)))


def _reduce_sum(door: Door, a: Arguments) -> Held:
    count = math.prod(a.held(0).layout.shape[axis] for axis in _axes(a, a.held(0)))
    return mul(door, _reduce_mean(door, a), scalar(float(count)))


def _reduce_extreme(sign: float) -> Handler:
    """The maximum over axes, or with -1 the minimum."""

    def handler(door: Door, a: Arguments) -> Held:
        x = a.held(0)
        axes, keep = sorted(set(_axes(a, x))), bool(a.integer("keepdims", 1))
        found = largest(door, x if sign > 0 else mul(door, x, scalar(sign)), axes, keep_dims=keep)
        return found if sign > 0 else mul(door, found, scalar(sign))

    return handler


def _reduce_l2(door: Door, a: Arguments) -> Held:
    x = a.held(0)
    return length(door, x, _axes(a, x), keep_dims=bool(a.integer("keepdims", 1)))


def _softmax(log: bool) -> Handler:
    def handler(door: Door, a: Arguments) -> Held:
        x = a.held(0)
        return softmax(door, x, a.axis(x.layout.rank, -1), log=log)

    return handler


def _prelu(door: Door, a: Arguments) -> Held:
    x, slope = a.held(0), a.known(1)
    shape = slope.array.shape
    wide = [x.layout.rank - len(shape) + axis for axis, size in enumerate(shape) if size != 1]
    if len(wide) > 1 or min(wide, default=0) < 0:
        raise UnsupportedError(f"slopes of shape {list(shape)}", hint="use one slope, or one a channel")
    return prelu(door, x, slope, wide[0] if wide else 1)


def _resize(door: Door, a: Arguments) -> Held:
    x = a.held(0)
    shape = x.layout.shape
    rank = len(shape)
    axes = [axis % rank for axis in a.integers("axes", list(range(rank)))]
    scales = [1.0] * rank
    sizes = list(shape)
    if a.has(3) and a.known(3).array.size:
        if a.text("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise UnsupportedError("resizing that keeps the aspect ratio", hint="give the size that comes out")
        for axis, size in zip(axes, a.constants(3), strict=True):
            sizes[axis], scales[axis] = size, size / shape[axis]
    else:
        for axis, scale in zip(axes, a.known(2).array.reshape(-1).tolist(), strict=True):
            sizes[axis], scales[axis] = math.floor(shape[axis] * float(scale)), float(scale)
    if rank not in (3, 4) or sizes[:2] != list(shape[:2]):
        raise UnsupportedError(f"resizing of shape {list(shape)} to {sizes}", hint="resize height and width alone")
    mode, antialias = a.text("mode", "nearest"), a.integer("antialias", 0)
    if mode not in ("nearest", "linear") or antialias or a.integer("exclude_outside", 0):
        raise UnsupportedError(f"{mode} resizing{' with antialiasing' if antialias else ''}", hint="use nearest or linear resizing")
    places = [_coordinates(a, shape[axis], sizes[axis], scales[axis], mode) for axis in range(2, rank)]
    return resize(door, x, sizes[2:], places, "nearest" if mode == "nearest" else "bilinear")


def _coordinates(a: Arguments, size: int, goal: int, scale: float, mode: str) -> NDArray[np.float64]:
    """Where each output of one axis lies in the input (the specification of ONNX's Resize)."""
    places = np.arange(max(goal, 0), dtype=np.float64)
    rule = a.text("coordinate_transformation_mode", "half_pixel")
    if rule == "half_pixel" or (rule == "pytorch_half_pixel" and goal > 1):
        found = (places + 0.5) / scale - 0.5
    elif rule == "half_pixel_symmetric":
        found = size / 2 * (1 - goal / (scale * size)) + (places + 0.5) / scale - 0.5
    elif rule == "align_corners":
        found = places * ((size - 1) / (goal - 1) if goal > 1 else 0.0)
    elif rule == "asymmetric":
        found = places / scale
    elif rule == "pytorch_half_pixel":
        found = np.zeros_like(places)
    else:
        raise UnsupportedError(f"resizing by the rule {rule!r}", hint="use half_pixel, align_corners or asymmetric")
    if mode == "linear":
        return np.clip(found, 0, size - 1)
    rounding = a.text("nearest_mode", "round_prefer_floor")
    # Float noise must not push a coordinate that is a whole number below it.
    found = np.round(found, 6)
    steps = {
        "round_prefer_floor": np.ceil(found - 0.5),
        "round_prefer_ceil": np.floor(found + 0.5),
        "floor": np.floor(found),
        "ceil": np.ceil(found),
    }
    if rounding not in steps:
        raise UnsupportedError(f"nearest resizing by {rounding!r}", hint="use floor or round_prefer_floor")
    return np.clip(steps[rounding], 0, size - 1)


COMPUTE: dict[str, Handler] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "BatchNormalization": _batch_norm,
    "MaxPool": _pool("max"),
    "AveragePool": _pool("average"),
    "GlobalAveragePool": _global_pool("average"),
    "GlobalMaxPool": _global_pool("max"),
    "ReduceMean": _reduce_mean,
    "ReduceSum": _reduce_sum,
    "ReduceL2": _reduce_l2,
    "ReduceMax": _reduce_extreme(1.0),
    "ReduceMin": _reduce_extreme(-1.0),
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "Softmax": _softmax(log=False),
    "LogSoftmax": _softmax(log=True),
    "PRelu": _prelu,
    "Resize": _resize,
}
