"""How much working memory the kernels for CPUs need for an operator."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.ir.graph import Value
from edgewright.ir.operator import Operator
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.targets.workspace_helium import is_inside

LANES = 16
QUAD = 4
POSITIONS = 8
MOST_TAPS = 64


def cpu_bytes(op: Operator, ins: Sequence[Value], outs: Sequence[Value]) -> int | None:
    """Bytes of working memory for ``op``; None for operators that the portable kernels compute."""
    if isinstance(op, Dense):
        inputs = int(ins[1].shape[1] or 1)
        return _columns_bytes(inputs) if inputs % QUAD else 0
    if not isinstance(op, Conv2D | DepthwiseConv2D):
        return None
    if isinstance(op, DepthwiseConv2D) and ins[0].shape[3] != 1:
        return int(ins[0].shape[3] or 1) if is_by_channels(op, ins) else None
    if is_gathered(ins[1].shape[1:]):
        return _columns_bytes(ins[1].elements // int(ins[1].shape[0] or 1))
    return fill_bytes(op, ins, outs)


def is_gathered(window: Sequence[int | None]) -> bool:
    """Whether what a window of (height, width, channels) sees is copied: its pixels are not whole fours of bytes, or they are many."""
    height, width, channels = (size or 1 for size in window)
    return channels % QUAD != 0 or height * width > MOST_TAPS


def fill_bytes(op: Conv2D | DepthwiseConv2D, ins: Sequence[Value], outs: Sequence[Value]) -> int:
    """A pixel of zero points for windows that reach beyond the picture, where some do."""
    return 0 if is_inside(op, ins, outs) else int(ins[1].shape[3] or 1)


def is_by_channels(op: DepthwiseConv2D, ins: Sequence[Value]) -> bool:
    """Whether the kernel for all channels of a position takes the layer."""
    return ins[0].shape[3] == ins[1].shape[0] and int(ins[1].shape[1] or 1) * int(ins[1].shape[2] or 1) <= MOST_TAPS


def _columns_bytes(length: int) -> int:
    """What eight positions see, each rounded up to whole fours; sixteen bytes more may be written."""
    return POSITIONS * (-(-length // QUAD) * QUAD) + LANES
