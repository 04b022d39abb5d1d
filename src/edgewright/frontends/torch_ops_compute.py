"""Torch's operators that compute over channels or windows: aten name → conversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, as_reals
from edgewright.frontends.layout_arithmetic import add, mul, scalar
from edgewright.frontends.layout_attention import embedding, matmul, scaled_dot_product
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
    softmax,
    transposed_convolution,
)
from edgewright.frontends.layout_normalize import group_norm, layer_norm
from edgewright.frontends.torch_arguments import Arguments, Handler, axis_of

Kind = Literal["max", "average"]


def _spatial(weight: Known) -> int:
    return weight.array.ndim - 2


def _convolution(door: Door, a: Arguments) -> Held:
    x, weight = a.held("input"), a.known("weight")
    count = _spatial(weight)
    if a.flag("transposed"):
        return _conv_transpose(door, a)
    stride, dilation = a.integers("stride", (1,), count=count), a.integers("dilation", (1,), count=count)
    padding = a.raw("padding", (0,))
    if padding == "valid":
        pads = [(0, 0)] * count
    elif padding == "same":
        # torch puts the odd one behind; strides other than 1 are refused by torch itself.
        totals = [step * (size - 1) for step, size in zip(dilation, weight.array.shape[2:], strict=True)]
        pads = [(total // 2, total - total // 2) for total in totals]
    else:
        pads = [(pad, pad) for pad in a.integers("padding", (0,), count=count)]
    return convolution(
        door, x, weight, a.maybe_known("bias"), stride=stride, padding=pads, dilation=dilation, groups=a.integer("groups", 1)
    )


def _conv_transpose(door: Door, a: Arguments) -> Held:
    weight = a.known("weight")
    count = _spatial(weight)
    pads = [(pad, pad) for pad in a.integers("padding", (0,), count=count)]
    return transposed_convolution(
        door,
        a.held("input"),
        weight,
        a.maybe_known("bias"),
        stride=a.integers("stride", (1,), count=count),
        padding=pads,
        output_padding=a.integers("output_padding", (0,), count=count),
        dilation=a.integers("dilation", (1,), count=count),
        groups=a.integer("groups", 1),
    )


def _linear(door: Door, a: Arguments) -> Held:
    return dense(door, a.held("input"), a.known("weight"), a.maybe_known("bias"))


def _matmul(door: Door, a: Arguments) -> Held:
    first, second = a.operand("self"), a.operand("other" if "other" in a.values else "mat2")
    if isinstance(second, Known) and isinstance(first, Held) and (second.array.ndim < 3 or max(second.array.shape[:-2]) == 1):
        return dense(door, first, _columns(second), None)
    return matmul(door, first, second)



def _columns(weight: Known) -> Known:
    if weight.array.ndim == 1:
        raise UnsupportedError("it multiplies by a vector", hint="use a matrix with one column, and squeeze")
    while weight.array.ndim > 2 and weight.array.shape[0] == 1:
        weight = Known(weight.array[0], weight.name)
    if weight.array.ndim != 2:
        raise UnsupportedError("it multiplies by a stack of matrices", hint="use one matrix")
    return weight.transposed((1, 0))


def _addmm(door: Door, a: Arguments) -> Held:
    alpha, beta = a.number("alpha", 1.0), a.number("beta", 1.0)
    bias, weight = a.known("self"), _columns(a.known("mat2"))
    return dense(
        door,
        a.held("mat1"),
        Known(as_reals(weight) * np.float32(alpha), weight.name) if alpha != 1 else weight,
        Known(as_reals(bias) * np.float32(beta), bias.name) if beta != 1 else bias,
    )


def _layer_norm(door: Door, a: Arguments) -> Held:
    sizes = a.integers("normalized_shape")
    return layer_norm(door, a.held("input"), sizes, a.maybe_known("weight"), a.maybe_known("bias"), a.number("eps", 1e-5))


def _group_norm(door: Door, a: Arguments) -> Held:
    return group_norm(door, a.held("input"), a.integer("num_groups"), a.maybe_known("weight"), a.maybe_known("bias"), a.number("eps", 1e-5))


def _instance_norm(door: Door, a: Arguments) -> Held:
    if not a.flag("use_input_stats"):
        raise UnsupportedError("instance normalization by stored statistics", hint="that is batch normalization: use BatchNorm")
    x = a.held("input")
    return group_norm(door, x, x.layout.shape[1], a.maybe_known("weight"), a.maybe_known("bias"), a.number("eps", 1e-5))


def _attention(door: Door, a: Arguments) -> Held:
    if a.raw("attn_mask") is not None or a.flag("is_causal"):
        raise UnsupportedError("attention with a mask", hint="export the network for sequences of one length, without a mask")
    scale = None if a.raw("scale") is None else a.number("scale")
    return scaled_dot_product(door, a.held("query"), a.held("key"), a.held("value"), scale)


def _batch_norm(door: Door, a: Arguments) -> Held:
    if a.flag("training"):
        raise UnsupportedError("batch normalization in training mode", hint="call .eval() before exporting")
    x = a.held("input")
    average = a.known("running_mean")
    count = average.array.size
    scale = a.maybe_known("weight") or Known(np.ones(count, np.float32), "scale")
    offset = a.maybe_known("bias") or Known(np.zeros(count, np.float32), "offset")
    return batch_norm(door, x, [scale, offset, average, a.known("running_var")], a.number("eps", 1e-5))


def _first_only(convert: Handler) -> Handler:
    """For operators that return more than their result: the rest must not be used."""

    def handler(door: Door, a: Arguments) -> Sequence[Held | None]:
        result = convert(door, a)
        assert isinstance(result, Held)
        return [result, None, None]

    return handler


def _pool(kind: Kind) -> Handler:
    def handler(door: Door, a: Arguments) -> Held:
        x = a.held()
        count = len(a.integers("kernel_size")) if isinstance(a.raw("kernel_size"), list) else x.layout.rank - 2
        if x.layout.rank != count + 2:
            raise UnsupportedError(f"pooling of an input with {x.layout.rank} axes", hint="give the network a batch axis")
        kernel = a.integers("kernel_size", count=count)
        stride = a.integers("stride", count=count) if a.raw("stride") else kernel
        if any(step != 1 for step in a.integers("dilation", (1,))):
            raise UnsupportedError("max pooling with dilation", hint="use dilation 1")
        pads = [(pad, pad) for pad in a.integers("padding", (0,), count=count)]
        divisor = a.raw("divisor_override")
        counted = kind == "average" and a.flag("count_include_pad", True)
        result = pool(
            door,
            x,
            kind,
            kernel=kernel,
            stride=stride,
            padding=pads,
            ceil=a.flag("ceil_mode"),
            count_padding=counted or divisor is not None,
        )
        if divisor is None:
            return result
        if a.flag("ceil_mode"):
            raise UnsupportedError("average pooling with both ceil_mode and a divisor", hint="use one of the two")
        return mul(door, result, scalar(float(np.prod(kernel)) / float(divisor)))

    return handler


def _adaptive_pool(kind: Kind) -> Handler:
    def handler(door: Door, a: Arguments) -> Held:
        x = a.held()
        goal = a.raw("output_size")
        sizes = list(goal) if isinstance(goal, (list, tuple)) else [goal] * (x.layout.rank - 2)
        return adaptive_pool(door, x, kind, sizes * (x.layout.rank - 2) if len(sizes) == 1 else sizes)

    return handler


def _mean(door: Door, a: Arguments) -> Held:
    x = a.held()
    axes = a.axes("dim", x.layout.rank)
    return mean(door, x, tuple(range(x.layout.rank)) if axes is None else axes, keep_dims=a.flag("keepdim"))


def _sum(door: Door, a: Arguments) -> Held:
    x = a.held()
    axes = a.axes("dim", x.layout.rank)
    count = float(np.prod([x.layout.shape[axis] for axis in (range(x.layout.rank) if axes is None else axes)]))
    return mul(door, _mean(door, a), scalar(count))


def _extreme(sign: float) -> Handler:
    """The maximum over axes, or with -1 the minimum."""

    def handler(door: Door, a: Arguments) -> Held:
        x = a.held()
        axes = sorted({axis_of(axis, x.layout.rank) for axis in a.integers("dim")}) if a.raw("dim") != [] else range(x.layout.rank)
        found = largest(door, x if sign > 0 else mul(door, x, scalar(sign)), tuple(axes), keep_dims=a.flag("keepdim"))
        return found if sign > 0 else mul(door, found, scalar(sign))

    return handler


def _length(door: Door, a: Arguments) -> Held:
    x = a.held()
    if a.number("ord", 2.0) != 2.0:
        raise UnsupportedError(f"a norm of order {a.number('ord', 2.0):g}", hint="only the Euclidean norm is supported")
    axes = a.axes("dim", x.layout.rank)
    return length(door, x, tuple(range(x.layout.rank)) if axes is None else axes, keep_dims=a.flag("keepdim"))


def _embedding(door: Door, a: Arguments) -> Held:
    return embedding(door, a.known("weight"), a.held("indices"))


def _softmax(log: bool) -> Handler:
    def handler(door: Door, a: Arguments) -> Held:
        x = a.held()
        return softmax(door, x, a.axis("dim", x.layout.rank), log=log)

    return handler


def _prelu(door: Door, a: Arguments) -> Held:
    return prelu(door, a.held(), a.known("weight"))


def _upsample(mode: Literal["nearest", "bilinear"], exact: bool = False) -> Handler:
    def handler(door: Door, a: Arguments) -> Held:
        x = a.held("input" if "input" in a.values else "self")
        own = x.layout.shape[2:]
        given = a.raw("scale_factors") or [a.raw(name) for name in (("scales_h", "scales_w") if len(own) == 2 else ("scales",))]
        factors: list[float | None] = [None if factor is None else float(factor) for factor in given]
        if a.raw("output_size") is not None:
            sizes = list(a.integers("output_size"))
        else:
            sizes = [int(np.floor(size * (factor or 1.0))) for size, factor in zip(own, factors, strict=True)]
        if len(sizes) != len(own):
            raise ModelError(f"it resizes {len(own)} axes to {sizes}", hint=INCONSISTENT)
        align = a.flag("align_corners")
        places = [_coordinates(size, goal, factor, mode, align, exact) for size, goal, factor in zip(own, sizes, factors, strict=True)]
        return resize(door, x, sizes, places, mode)

    return handler


def _coordinates(size: int, goal: int, factor: float | None, mode: str, align: bool, exact: bool) -> NDArray[np.float64]:
    """Where torch takes each output of one axis from (aten/src/ATen/native/UpSample.h)."""
    scale = np.float32(1.0 / factor) if factor else np.float32(size / goal)
    places = np.arange(goal, dtype=np.float32)
    if mode == "nearest":
        found = np.minimum(np.floor((places + np.float32(0.5)) * scale if exact else places * scale), size - 1)
    elif align:
        found = places * np.float32((size - 1) / (goal - 1) if goal > 1 else 0.0)
    else:
        found = np.clip((places + np.float32(0.5)) * scale - np.float32(0.5), 0, size - 1)
    return np.asarray(found, np.float64)


def _baddbmm(door: Door, a: Arguments) -> Held:
    if a.number("alpha", 1.0) != 1 or a.number("beta", 1.0) != 1:
        raise UnsupportedError("baddbmm with factors", hint="use alpha = beta = 1")
    return add(door, dense(door, a.held("batch1"), _columns(a.known("batch2")), None), a.operand("self"))


COMPUTE: dict[str, Handler] = {
    **{
        f"aten.{name}": _convolution
        for name in ("conv1d.default", "conv1d.padding", "conv2d.default", "conv2d.padding", "convolution.default")
    },
    **{f"aten.{name}": _conv_transpose for name in ("conv_transpose1d.default", "conv_transpose2d.input", "conv_transpose2d.default")},
    "aten.linear.default": _linear,
    **{f"aten.{name}.default": _matmul for name in ("matmul", "mm", "bmm")},
    "aten.addmm.default": _addmm,
    "aten.baddbmm.default": _baddbmm,
    "aten.batch_norm.default": _batch_norm,
    "aten._native_batch_norm_legit_no_training.default": _first_only(_batch_norm),
    "aten.layer_norm.default": _layer_norm,
    "aten.native_layer_norm.default": _first_only(_layer_norm),
    "aten.group_norm.default": _group_norm,
    "aten.instance_norm.default": _instance_norm,
    "aten.scaled_dot_product_attention.default": _attention,
    "aten.max_pool1d.default": _pool("max"),
    "aten.max_pool2d.default": _pool("max"),
    "aten.max_pool2d_with_indices.default": _first_only(_pool("max")),
    "aten.avg_pool1d.default": _pool("average"),
    "aten.avg_pool2d.default": _pool("average"),
    "aten.adaptive_avg_pool1d.default": _adaptive_pool("average"),
    "aten.adaptive_avg_pool2d.default": _adaptive_pool("average"),
    "aten._adaptive_avg_pool2d.default": _adaptive_pool("average"),
    "aten.adaptive_max_pool1d.default": _first_only(_adaptive_pool("max")),
    "aten.adaptive_max_pool2d.default": _first_only(_adaptive_pool("max")),
    "aten.linalg_vector_norm.default": _length,
    "aten.embedding.default": _embedding,
    "aten.mean.dim": _mean,
    "aten.mean.default": _mean,
    "aten.sum.dim_IntList": _sum,
    "aten.amax.default": _extreme(1.0),
    "aten.amin.default": _extreme(-1.0),
    "aten.max.dim": _first_only(_extreme(1.0)),
    "aten.min.dim": _first_only(_extreme(-1.0)),
    "aten.softmax.int": _softmax(log=False),
    "aten._softmax.default": _softmax(log=False),
    "aten.log_softmax.int": _softmax(log=True),
    "aten._log_softmax.default": _softmax(log=True),
    "aten.prelu.default": _prelu,
    "aten._prelu_kernel.default": _prelu,
    **{f"aten.upsample_nearest{rank}d.{form}": _upsample("nearest") for rank in (1, 2) for form in ("vec", "default")},
    **{f"aten._upsample_nearest_exact{rank}d.{form}": _upsample("nearest", exact=True) for rank in (1, 2) for form in ("vec", "default")},
    **{f"aten.upsample_{name}.{form}": _upsample("bilinear") for name in ("bilinear2d", "linear1d") for form in ("vec", "default")},
}
