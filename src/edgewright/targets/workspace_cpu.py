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
        return POSITIONS * _whole_quads(inputs) if inputs % QUAD else 0
    if not isinstance(op, Conv2D | DepthwiseConv2D):
        return None
    channels = int(ins[0].shape[3] or 1)
    if isinstance(op, DepthwiseConv2D) and channels > 1:
        return channels if is_by_channels(op, ins) else None
    groups = op.groups if isinstance(op, Conv2D) else 1
    if is_whole(int(ins[1].shape[2] or 1), op.dilation[1], channels, groups) and is_inside(op, ins, outs):
        return 0
    return POSITIONS * _whole_quads(ins[1].elements // int(ins[1].shape[0] or 1))


def is_whole(kernel_width: int, dilation_width: int, channels: int, groups: int) -> bool:
    """Whether a row of a window within the picture is one run of bytes, a multiple of four."""
    return (kernel_width * channels // groups) % QUAD == 0 and (kernel_width == 1 or (groups == 1 and dilation_width == 1))


def is_by_channels(op: DepthwiseConv2D, ins: Sequence[Value]) -> bool:
    """Whether the kernel for all channels of a position takes the layer."""
    return ins[0].shape[3] == ins[1].shape[0] and int(ins[1].shape[1] or 1) * int(ins[1].shape[2] or 1) <= MOST_TAPS


def _whole_quads(length: int) -> int:
    return -(-length // QUAD) * QUAD
