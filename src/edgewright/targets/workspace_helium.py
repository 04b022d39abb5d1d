"""How much working memory the Helium kernels need for an operator, and what they do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.ir.graph import Value
from edgewright.ir.operator import Operator
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D

LANES = 16
PLANE_BYTES = 1536
"""The padded input of a tile of a depthwise convolution, sixteen channels of it, stays below this where one output does."""


@dataclass(frozen=True)
class DepthwiseTile:
    """How the depthwise kernel divides a picture: tiles of ``rows`` x ``columns`` outputs, of ``plane`` (height, width) inputs."""

    rows: int
    columns: int
    plane: tuple[int, int]

    @property
    def plane_bytes(self) -> int:
        """Bytes of the padded input of a tile, sixteen channels of it."""
        return LANES * self.plane[0] * self.plane[1]


def helium_bytes(op: Operator, ins: Sequence[Value], outs: Sequence[Value]) -> int:
    """Bytes of working memory for ``op``; 0 for operators that need none."""
    if isinstance(op, DepthwiseConv2D) and ins[0].shape[3] != 1:
        return depthwise_tile(op, ins, outs).plane_bytes
    if isinstance(op, Conv2D | DepthwiseConv2D):
        columns = 0 if is_contiguous(op, ins) and is_inside(op, ins, outs) else 4
        return columns * ins[1].elements // int(ins[1].shape[0] or 1)
    return 0


def is_contiguous(op: Conv2D | DepthwiseConv2D, ins: Sequence[Value]) -> bool:
    """Whether a window that lies within the picture sees one piece of memory."""
    kernel = ins[1].shape[1:3]
    if kernel == (1, 1):
        return True
    if (isinstance(op, Conv2D) and op.groups > 1) or (kernel[1] != 1 and op.dilation[1] != 1):
        return False
    return kernel[0] == 1 or (kernel[1] == ins[0].shape[2] and op.dilation[0] == 1)


def is_inside(op: Conv2D | DepthwiseConv2D, ins: Sequence[Value], outs: Sequence[Value]) -> bool:
    """Whether every window lies within the picture."""
    for axis in (0, 1):
        last = (int(outs[0].shape[axis + 1] or 1) - 1) * op.stride[axis] + (int(ins[1].shape[axis + 1] or 1) - 1) * op.dilation[axis]
        if op.padding[axis][0] or last >= int(ins[0].shape[axis + 1] or 1):
            return False
    return True


def depthwise_tile(op: DepthwiseConv2D, ins: Sequence[Value], outs: Sequence[Value]) -> DepthwiseTile:
    """The largest tiles whose plane is small: whole rows if they fit, as many as fit."""
    span = [(int(ins[1].shape[axis + 1] or 1) - 1) * op.dilation[axis] + 1 for axis in (0, 1)]
    height, width = (int(size or 1) for size in outs[0].shape[1:3])
    pixels = PLANE_BYTES // LANES
    columns = max(min((pixels // span[0] - span[1]) // op.stride[1] + 1, width), 1)
    columns = -(-width // -(-width // columns))
    across = (columns - 1) * op.stride[1] + span[1]
    rows = max(min((pixels // across - span[0]) // op.stride[0] + 1, height), 1)
    return DepthwiseTile(rows, columns, ((rows - 1) * op.stride[0] + span[0], across))
