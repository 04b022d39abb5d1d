"""How much working memory a set of C kernels needs for an operator, and what it does with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.ir.dtype import DType
from edgewright.ir.graph import Value
from edgewright.ir.operator import Operator
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.gru import GRU
from edgewright.ops.lstm import LSTM
from edgewright.ops.transpose_conv2d import TransposeConv2D
from edgewright.targets.transposed import phases
from edgewright.targets.workspace_cpu import cpu_bytes
from edgewright.targets.workspace_helium import helium_bytes

STACK_BYTES = 1536
"""Working memory up to this size is taken from the stack, larger ones from the arena."""
PLANE_BYTES = 1024
"""A depthwise convolution divides the picture into strips of rows whose padded plane stays below this, if one output row does."""


@dataclass(frozen=True)
class DepthwiseLayout:
    """How the depthwise kernel walks a picture.

    ``exchanged``: height and width change roles, so that the longer side is the inner loop. ``strip``: output rows (after the exchange)
    for which the input of one channel is copied at once, padded, to a plane of ``plane`` (height, width) elements.
    """

    exchanged: bool
    strip: int
    plane: tuple[int, int]


def workspace_bytes(op: Operator, ins: Sequence[Value], outs: Sequence[Value], kernels: Sequence[str]) -> int:
    """Bytes of working memory for ``op`` with the kernel folders ``kernels``; 0 for operators that need none."""
    if isinstance(op, LSTM | GRU):
        return 2 * int(ins[2].shape[1] or 1)
    if isinstance(op, TransposeConv2D):
        convolutions = (phase.convolution(op, ins, outs) for phase in phases(op, ins, outs, kernels))
        return max((workspace_bytes(*convolution, kernels) for convolution in convolutions), default=0)
    if is_wide(ins):
        return _wide_bytes(op, ins, outs, simd="dsp" in kernels)
    if "size" in kernels:
        column = isinstance(op, DepthwiseConv2D) or (isinstance(op, Conv2D) and not is_matrix_product(op, ins, outs))
        return ins[1].elements // int(ins[1].shape[0] or 1) if column else 0
    if "helium" in kernels:
        return helium_bytes(op, ins, outs)
    if "cpu" in kernels and (needed := cpu_bytes(op, ins, outs)) is not None:
        return needed
    simd = "dsp" in kernels
    if isinstance(op, DepthwiseConv2D) and not is_plain(op, ins):
        layout = depthwise_layout(op, ins, outs, kernels)
        if not simd:
            return layout.plane[0] * layout.plane[1]
        kernel = (int(ins[1].shape[1] or 1), int(ins[1].shape[2] or 1))
        rows, taps = (kernel[1], kernel[0]) if layout.exchanged else kernel
        return 2 * (layout.plane[0] * layout.plane[1] + 2 + rows * (taps + taps % 2))
    if isinstance(op, Conv2D | DepthwiseConv2D):
        length = ins[1].elements // int(ins[1].shape[0] or 1)
        if simd:
            direct = isinstance(op, Conv2D) and is_matrix_product(op, ins, outs)
            return _unpacked_bytes(length, int(ins[1].shape[1] or 1), direct=direct)
        return 0 if isinstance(op, Conv2D) and is_matrix_product(op, ins, outs) else 2 * length
    if isinstance(op, Dense) and simd and outs[0].elements > int(ins[1].shape[0] or 1):
        return _unpacked_bytes(int(ins[1].shape[1] or 1), 1, direct=True)
    return 0


def _wide_bytes(op: Operator, ins: Sequence[Value], outs: Sequence[Value], *, simd: bool) -> int:
    """One column of int16; with the DSP instructions two, padded to fours, for weights of 8 bits."""
    if not isinstance(op, Conv2D | Dense):
        return 0
    length = ins[1].elements // int(ins[1].shape[0] or 1)
    direct = isinstance(op, Dense) or is_matrix_product(op, ins, outs)
    if not simd or ins[1].dtype is DType.INT16:
        return 0 if direct else 2 * length
    return 0 if direct and length % 4 == 0 else 4 * (-(-length // 4) * 4)


def can_be_frugal(op: Operator, ins: Sequence[Value], outs: Sequence[Value], kernels: Sequence[str]) -> bool:
    """Whether a slower kernel computes ``op`` without working memory: matrix products of one position after the other."""
    if "dsp" not in kernels or "helium" in kernels or is_wide(ins):
        return False
    return isinstance(op, Dense) or (isinstance(op, Conv2D) and is_matrix_product(op, ins, outs))


def _unpacked_bytes(length: int, rows: int, *, direct: bool) -> int:
    """Four columns of ``length`` numbers as halves; then four of them, and one of zero points, as bytes: one of the window's ``rows`` at a
    time where words fit a row, else whole."""
    padded = -(-length // 4) * 4
    if length // rows % 4:
        return 12 * padded
    return 8 * padded + (0 if direct else 5 * (length // rows))


def is_wide(ins: Sequence[Value]) -> bool:
    """Whether the operator's activations are int16, for which there are kernels of their own."""
    return bool(ins) and ins[0].dtype is DType.INT16


def is_plain(op: DepthwiseConv2D, ins: Sequence[Value]) -> bool:
    """Whether the depthwise convolution has one input channel: then it is a convolution."""
    return ins[0].shape[3] == 1


def is_matrix_product(op: Conv2D, ins: Sequence[Value], outs: Sequence[Value]) -> bool:
    """Whether the convolution sees one pixel at a time, every pixel once."""
    return op.groups == 1 and ins[1].shape[1:3] == (1, 1) and ins[0].shape[1:3] == outs[0].shape[1:3] and op.padding == ((0, 0), (0, 0))


def depthwise_layout(op: DepthwiseConv2D, ins: Sequence[Value], outs: Sequence[Value], kernels: Sequence[str]) -> DepthwiseLayout:
    """The walk over the picture, chosen so that the plane is small and the inner loop long."""
    unit = 2 if "dsp" in kernels else 1
    height, width = (int(size or 1) for size in outs[0].shape[1:3])
    exchanged = height > width
    axes = (1, 0) if exchanged else (0, 1)
    kernel = [int(ins[1].shape[axis + 1] or 1) for axis in axes]
    stride, dilation = [op.stride[axis] for axis in axes], [op.dilation[axis] for axis in axes]
    rows, columns = (width, height) if exchanged else (height, width)
    plane_width = (columns - 1) * stride[1] + (kernel[1] - 1) * dilation[1] + 1
    if unit == 2:
        plane_width += plane_width % 2
    tallest = max(PLANE_BYTES // (unit * plane_width), 1)
    strip = max(min((tallest - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1, rows), 1)
    return DepthwiseLayout(exchanged, strip, ((strip - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1, plane_width))
