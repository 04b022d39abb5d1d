"""Transposed convolutions as convolutions of few taps: which rows and columns of the output see which taps.

Output row y gets input row i through tap k where i * stride + k = y + padding. All rows y of the same remainder by the stride see the same
taps, at sources that go up one by one: they are a convolution over the input. The columns of all remainders stand side by side in memory as
more output channels of one column would: they are one convolution, whose window has zeros where a column sees fewer taps than another. The
decomposition: Shi et al., "Is the deconvolution layer the same as a convolutional layer?" (2016, arXiv:1609.07009).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.dtype import DType
from edgewright.ir.graph import Value
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.transpose_conv2d import TransposeConv2D

MOST_ZEROS = 2
"""Taps with their zeros, to taps without: where there are more, each output looks for its own."""
WITHOUT = ("cpu", "size")
"""Folders whose kernels take it output by output."""


@dataclass(frozen=True)
class Phase:
    """Output rows ``first``, ``first + stride``, …, ``rows`` of them.

    Row r of these sees input rows from r - ``padding[0]`` on, its group c of columns input columns from c - ``padding[1]`` on. ``taps``:
    for each column of a group, and each place of the window's height and width, which tap of the weight that is; -1 for none.
    """

    first: int
    rows: int
    padding: tuple[int, int]
    taps: NDArray[np.int64]

    def weight(self, weight: NDArray[np.generic]) -> NDArray[np.generic]:
        """OHWI weights of the convolution, from those of the transposed one: the output channels of one column after those of another."""
        outputs, height, width, channels = weight.shape
        flat = weight.reshape(outputs, height * width, channels)
        with_zeros = np.concatenate([flat, np.zeros((outputs, 1, channels), weight.dtype)], axis=1)
        columns, *window = self.taps.shape
        return with_zeros[:, self.taps.reshape(columns, -1)].transpose(1, 0, 2, 3).reshape(columns * outputs, *window, channels)

    def convolution(self, op: TransposeConv2D, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Conv2D, list[Value], list[Value]]:
        """The convolution of all these rows, with its values: two neighbouring columns of a group are one pixel."""
        columns, height, width = self.taps.shape
        outputs, channels = int(ins[1].shape[0] or 1) * columns, ins[1].shape[3]
        conv = Conv2D(padding=((self.padding[0], 0), (self.padding[1], 0)), activation=op.activation)
        weight = dataclasses.replace(ins[1], shape=(outputs, height, width, channels))
        after = dataclasses.replace(outs[0], shape=(1, self.rows, int(outs[0].shape[2] or 1) // columns, outputs))
        return conv, [ins[0], weight], [after]


def phases(op: TransposeConv2D, ins: Sequence[Value], outs: Sequence[Value], kernels: Sequence[str]) -> list[Phase]:
    """The convolutions of int8 values that are the transposed one; none where its kernel takes it output by output."""
    if not kernels or any(folder in kernels for folder in WITHOUT) or {ins[0].dtype, ins[1].dtype, outs[0].dtype} != {DType.INT8}:
        return []
    height, width = (int(size or 1) for size in outs[0].shape[1:3])
    taps = [int(size or 1) for size in ins[1].shape[1:3]]
    left, across = _axis(range(op.stride[1]), op.padding[1][0], op.stride[1], taps[1])
    if width % op.stride[1] or across.size > MOST_ZEROS * taps[1]:
        return []
    found = []
    for first in range(min(op.stride[0], height)):
        top, down = _axis(range(first, first + 1), op.padding[0][0], op.stride[0], taps[0])
        rows, columns = down[0][None, :, None], across[:, None, :]
        both = np.where((rows < 0) | (columns < 0), -1, rows * taps[1] + columns)
        found.append(Phase(first, -(-(height - first) // op.stride[0]), (top, left), both))
    return found


def _axis(outputs: range, padding: int, stride: int, taps: int) -> tuple[int, NDArray[np.int64]]:
    """(how far before the first source the window begins, tap of each of ``outputs`` at each place of the window: -1 for none)."""
    seen = [{(at + padding - tap) // stride: tap for tap in range(taps) if (at + padding - tap) % stride == 0} for at in outputs]
    used = {source for each in seen for source in each}
    first, last = min(used | {0}), max(used, default=0)
    return -first, np.array([[each.get(place, -1) for place in range(first, last + 1)] for each in seen], np.int64)
