"""What the convolutions share: windows over the two spatial axes, and exact integer sums by floating-point BLAS."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Operator, expect
from edgewright.ops.requant import tensor_quant, wrap_int32

Padding = tuple[tuple[int, int], tuple[int, int]]
NO_PADDING: Padding = ((0, 0), (0, 0))
FLOAT32_EXACT = 1 << 24
"""Integers up to this size, and sums that stay below it, are exact in float32."""


def window_size(size: int, kernel: int, stride: int, dilation: int, padding: tuple[int, int]) -> int:
    """Outputs along one axis."""
    return (size + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1


def infer_window(op: Operator, x: Value, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], padding: Padding) -> tuple[int, int]:
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
    return ((x.shape[0], *size, channels),)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], dilation: tuple[int, int], padding: Padding, groups: int,
             pad_value: float = 0.0) -> Tensor:
    """Convolution of NHWC ``x`` with OHWI ``weight`` in their float type; NHWC out."""
    (top, bottom), (left, right) = padding
    planes = x.permute(0, 3, 1, 2)
    symmetric = top == bottom and left == right and pad_value == 0.0
    if not symmetric:
        planes = F.pad(planes, (left, right, top, bottom), value=pad_value)
    out = F.conv2d(planes, weight.permute(0, 3, 1, 2), bias, stride, (top, left) if symmetric else 0, dilation, groups)
    return out.permute(0, 2, 3, 1)


def exact_type(weight: Tensor, largest_input: int) -> torch.dtype:
    """float32 where every sum of products stays exact in it, else float64. ``weight``: integers, output channel at axis 0."""
    bound = weight.reshape(weight.shape[0], -1).abs().sum(1, dtype=torch.int64).max().item() * largest_input if weight.numel() else 0
    return torch.float32 if bound < FLOAT32_EXACT else torch.float64


def largest_magnitude(value: Value) -> int:
    """The largest abs(x - zero point) that integers x of ``value`` can have."""
    zero_point = tensor_quant(value)[1]
    return max(value.dtype.maximum - zero_point, zero_point - value.dtype.minimum)


def exact_sums(multiply: Callable[[Tensor, Tensor], Tensor], x: Tensor, zero_point: int, weight: Tensor, bias: Tensor | None, largest_input: int) -> Tensor:
    """``multiply``(x - zero_point, weight) + bias, exact, in the int32 range (wrapped as a 32-bit accumulator wraps): torch.int64.

    ``multiply`` is a sum of products in floating point; ``largest_input`` bounds abs(x - zero_point).
    """
    kind = exact_type(weight, largest_input)
    sums = multiply((x - zero_point).to(kind), weight.to(kind)).round_().to(torch.int64)
    return wrap_int32(sums if bias is None else sums + bias)


def integer_convolve(x: Tensor, zero_point: int, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], dilation: tuple[int, int], padding: Padding,
                     groups: int, largest_input: int) -> Tensor:
    """Exact sums of (x - zero_point) * weight + bias: torch.int64, NHWC. ``largest_input`` bounds abs(x - zero_point)."""
    return exact_sums(lambda a, b: convolve(a, b, None, stride, dilation, padding, groups), x, zero_point, weight, bias, largest_input)
