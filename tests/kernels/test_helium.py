"""The Helium kernels under QEMU against the integer evaluation: random shapes, strides, paddings, extreme values; many layers a boot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.ir.dtype import DType
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from tests.kernels.harness import Batch
from tests.kernels.test_convolution import ACTIVATIONS, size, weights, window

pytestmark = pytest.mark.usefixtures("needs_arm")
CORE = "cortex-m55"


def add_conv2d(batch: Batch, channels: int, outputs: int, kernel: tuple[int, int], groups: int = 1) -> None:
    rng = batch.rng
    stride, dilation = size(rng, 3) if rng.integers(2) else (1, 1), size(rng, 2) if rng.integers(4) == 0 else (1, 1)
    shape, padding = window(rng, kernel, dilation, 7)
    x = batch.input((*shape, channels))
    fan_in = kernel[0] * kernel[1] * channels // groups
    w, b, quant = weights(batch, (outputs, *kernel, channels // groups), fan_in, batch.builder.value(x).quant.scale[0])
    op = Conv2D(stride, padding, dilation, groups, str(rng.choice(ACTIVATIONS)))
    batch.add(op, [x, w, b] if rng.integers(4) else [x, w], quant)


@pytest.mark.parametrize("seed", range(2))
def test_conv2d(seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(80):
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        channels, outputs = groups * int(rng.choice([1, 2, 3, 4, 7, 8, 16, 20])), groups * int(rng.integers(1, 38))
        add_conv2d(batch, channels, outputs, size(rng, 4) if rng.integers(3) else (1, 1), groups)
    batch.check(CORE, samples=2)


def test_lengths_of_a_window() -> None:
    """Every number of bytes at the end of a step of sixteen, odd and even numbers of steps."""
    batch = Batch(np.random.default_rng(0))
    for channels in range(1, 67):
        add_conv2d(batch, channels, int(batch.rng.choice([3, 16])), (1, 1))
    batch.check(CORE, samples=2)


def test_windows_in_one_piece() -> None:
    """Kernels as wide as the picture, or one pixel high: what they see need not be gathered."""
    batch = Batch(np.random.default_rng(0))
    rng = batch.rng
    for _ in range(40):
        kernel = (int(rng.integers(1, 5)), int(rng.integers(1, 4)))
        tall = rng.integers(2)
        kernel = kernel if tall else (1, kernel[0])
        shape = (kernel[0] + int(rng.integers(0, 9)), kernel[1]) if tall else (int(rng.integers(1, 4)), kernel[1] + int(rng.integers(0, 9)))
        padding = ((int(rng.integers(0, 2)), int(rng.integers(0, 2))), (int(rng.integers(0, 2)), int(rng.integers(0, 2))))
        channels, outputs = int(rng.integers(1, 9)), int(rng.integers(1, 20))
        x = batch.input((*shape, channels))
        w, b, quant = weights(batch, (outputs, *kernel, channels), kernel[0] * kernel[1] * channels, batch.builder.value(x).quant.scale[0])
        op = Conv2D(size(rng, 2), padding if rng.integers(2) else ((0, 0), (0, 0)), (1, 1), 1, str(rng.choice(ACTIVATIONS)))
        batch.add(op, [x, w, b], quant)
    batch.check(CORE)


@dataclass
class Bounded(Batch):
    """Integers not below ``least``: where no weight is -128, two products fit 16 bits, and the kernels use that."""

    least: int = -128

    def integers(self, shape: Sequence[int], dtype: DType = DType.INT8) -> NDArray[np.generic]:
        return np.maximum(super().integers(shape, dtype), np.array(self.least, dtype.numpy))


@pytest.mark.parametrize("seed", range(2))
def test_depthwise_conv2d(seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = Bounded(rng)
    for case in range(80):
        channels, multiplier = int(rng.integers(1, 40)), int(rng.choice([1, 1, 1, 2, 3, 8]))
        kernel = (3, 3) if rng.integers(2) else size(rng, 6)
        stride = (lambda s: (s, s))(int(rng.integers(1, 4))) if rng.integers(3) else size(rng, 3)
        dilation = size(rng, 2) if rng.integers(4) == 0 else (1, 1)
        shape, padding = window(rng, kernel, dilation, 10 if case % 16 else 70)
        x = batch.input((*shape, channels))
        batch.least = int(rng.choice([-128, -127]))
        w, b, quant = weights(batch, (channels * multiplier, *kernel, 1), kernel[0] * kernel[1], batch.builder.value(x).quant.scale[0])
        batch.least = -128
        op = DepthwiseConv2D(stride, padding, dilation, multiplier, str(rng.choice(ACTIVATIONS)))
        batch.add(op, [x, w, b] if rng.integers(4) else [x, w], quant)
    batch.check(CORE, samples=2)


def test_dense() -> None:
    rng = np.random.default_rng(0)
    batch = Batch(rng)
    for _ in range(80):
        inputs, outputs = int(rng.choice([1, 2, 3, 4, 5, 8, 16, 17, 64, 130])), int(rng.integers(1, 22))
        vectors = () if rng.integers(2) else (int(rng.integers(1, 7)),)
        x = batch.input((*vectors, inputs))
        w, b, quant = weights(batch, (outputs, inputs), inputs, batch.builder.value(x).quant.scale[0], per_tensor=bool(rng.integers(2)))
        batch.add(Dense(str(rng.choice(ACTIVATIONS))), [x, w, b] if rng.integers(4) else [x, w], quant)
    batch.check(CORE)
