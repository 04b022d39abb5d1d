"""What the convolutions share: windows over the two spatial axes, and exact integer sums by floating-point BLAS."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewright.errors import UnsupportedError
from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Operator, expect
from edgewright.ops.requant import INT32_MAX, tensor_quant, wrap_int32

Padding = tuple[tuple[int, int], tuple[int, int]]
NO_PADDING: Padding = ((0, 0), (0, 0))
MOST_WIDE = 1 << 47
"""Sums of 64 bits stay below this, or their rescaling would overflow."""
FLOAT32_EXACT = 1 << 24
"""Integers up to this size, and sums that stay below it, are exact in float32."""


def unpadded(padding: Padding, rows: bool, columns: bool) -> Padding:
    """``padding`` with none along rows, columns or both."""
    return (0, 0) if rows else padding[0], (0, 0) if columns else padding[1]


def window_size(size: int, kernel: int, stride: int, dilation: int, padding: tuple[int, int]) -> int:
    """Outputs along one axis."""
    return (size + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1


def infer_window(
    op: Operator, x: Value, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], padding: Padding
) -> tuple[int, int]:
    """Output height and width of a window over NHWC ``x``; ModelError where nothing is left."""
    expect(x.rank == 4, op, f"the input must be NHWC, got shape {x.shape}")
    expect(all(v >= 1 for v in (*kernel, *stride, *dilation)), op, "kernel, stride and dilation must be at least 1")
    expect(all(v >= 0 for pair in padding for v in pair), op, f"negative padding {padding}")
    sizes = []
    for axis in (0, 1):
        size = x.shape[axis + 1]
        expect(size is not None, op, "height and width must be known")
        assert size is not None
        sizes.append(window_size(size, kernel[axis], stride[axis], dilation[axis], padding[axis]))
    expect(min(sizes) >= 1, op, f"a {kernel} window does not fit into {x.shape[1:3]}")
    return sizes[0], sizes[1]


def infer_pool(op: Operator, x: Value, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding) -> tuple[int, int]:
    """Output height and width of pooling; every window must reach into the input."""
    size = infer_window(op, x, kernel, stride, (1, 1), padding)
    expect(all(max(padding[axis]) < kernel[axis] for axis in (0, 1)), op, f"padding {padding} leaves windows of {kernel} without input")
    return size


def output_shape(x: Value, size: tuple[int, int], channels: int) -> tuple[Shape]:
    """The shape of NHWC output of ``size`` for input ``x``."""
    return ((x.shape[0], *size, channels),)


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], dilation: tuple[int, int], padding: Padding, groups: int
) -> Tensor:
    """Convolution of NHWC ``x`` with OHWI ``weight`` in their float type; NHWC out."""
    (top, bottom), (left, right) = padding
    planes = x.permute(0, 3, 1, 2)
    symmetric = top == bottom and left == right
    if not symmetric:
        planes = F.pad(planes, (left, right, top, bottom))
    # torch 2.13 crashes on a padded 1x1 kernel with dilation and bias; one tap has nothing to dilate.
    spread = [1 if size == 1 else step for size, step in zip(weight.shape[1:3], dilation)]
    out = F.conv2d(planes, weight.permute(0, 3, 1, 2), bias, stride, (top, left) if symmetric else 0, spread, groups)
    return out.permute(0, 2, 3, 1)


def exact_sums(multiply: Callable[[Tensor, Tensor, Tensor | None], Tensor], inputs: Sequence[Tensor], ins: Sequence[Value]) -> Tensor:
    """Exact sums of products and bias of an operator with inputs x, weight (output channel at axis 0) and, optionally, bias.

    ``multiply``(x, weight, bias) is the operator in floating point. The result holds integers within the int32 range (wrapped there as
    a 32-bit accumulator wraps; sums of int16 data have 64 bits) in the cheapest type that has them exactly: float32, float64 or int64.
    Inputs that are integers in float32 may require gradients; where the sums might wrap, none come back.
    """
    if ins[0].dtype.bits > 8:
        return _wide_sums(multiply, inputs, ins)
    weight, bias = inputs[1], inputs[2] if len(inputs) > 2 else None
    sums, biases = _largest_sums(weight, bias, ins[0])
    kind = torch.float32 if sums < FLOAT32_EXACT and _float32_is_float32() else torch.float64
    fused = bias is not None and (kind is torch.float64 or sums + biases < FLOAT32_EXACT)
    x = (inputs[0] - tensor_quant(ins[0])[1]).to(kind)
    result = multiply(x, weight.to(kind), bias.to(kind) if bias is not None and fused else None)
    if bias is not None and not fused:
        result = result.to(torch.float64) + bias
    return result if sums + biases <= INT32_MAX else wrap_int32(result.to(torch.int64))


def _wide_sums(
    multiply: Callable[[Tensor, Tensor, Tensor | None], Tensor], inputs: Sequence[Tensor], ins: Sequence[Value]
) -> Tensor:
    """Sums of products of int16 data, which 64 bits hold, in float64."""
    weight, bias = inputs[1], inputs[2] if len(inputs) > 2 else None
    largest = sum(_largest_sums(weight, bias, ins[0]))
    if largest >= MOST_WIDE:
        raise UnsupportedError(f"sums of products of {ins[0].name!r} reach {largest:,}", hint=f"their factors take less than {MOST_WIDE:,}")
    return multiply(inputs[0].to(torch.float64), weight.to(torch.float64), None if bias is None else bias.to(torch.float64))


def _largest_sums(weight: Tensor, bias: Tensor | None, x: Value) -> tuple[int, int]:
    """Bounds of abs of any partial sum of products, whatever the input, and of abs of the bias."""
    if weight.numel() == 0:
        return 0, 0
    weight, bias = weight.detach().to(torch.int32), None if bias is None else bias.detach()
    zero_point = tensor_quant(x)[1]
    low, high = x.dtype.minimum - zero_point, x.dtype.maximum - zero_point
    rows = weight.reshape(weight.shape[0], -1)
    positive, negative = rows.clamp(min=0).sum(1, dtype=torch.int64), rows.clamp(max=0).sum(1, dtype=torch.int64)
    largest = torch.maximum(high * positive + low * negative, -low * positive - high * negative).max()
    return int(largest), int(bias.to(torch.int64).abs().max()) if bias is not None else 0


def _float32_is_float32() -> bool:
    """Whether nobody has told torch or oneDNN to compute float32 with fewer bits."""
    settings: Any = torch.backends.mkldnn
    asked = [os.environ.get(name, "STRICT").upper() for name in ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")]
    return {settings.conv.fp32_precision, settings.matmul.fp32_precision} <= {"none", "ieee"} and set(asked) == {"STRICT"}
