"""The Helium kernels under QEMU against the integer evaluation: random shapes, strides, paddings, extreme values; many layers a boot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Level
from edgewright.ir.verify import verify
from edgewright.ops.add import Add
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.hard_swish import HardSwish
from edgewright.ops.matmul import MatMul
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.mean import Mean
from edgewright.ops.mul import Mul
from edgewright.ops.sub import Sub
from edgewright.targets.target import load_target
from tests.kernels.harness import Batch, compare
from tests.kernels.test_convolution import ACTIVATIONS, size, weights, window
from tests.kernels.test_elementwise import shapes

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


def test_lengths_of_a_window(seed: int = 0) -> None:
    """Every number of bytes at the end of a step of sixteen, odd and even numbers of steps."""
    batch = Batch(np.random.default_rng(seed))
    for channels in range(1, 67):
        add_conv2d(batch, channels, int(batch.rng.choice([3, 16])), (1, 1))
    batch.check(CORE, samples=2)


def test_windows_in_one_piece(seed: int = 0) -> None:
    """Kernels as wide as the picture, or one pixel high: what they see need not be gathered."""
    batch = Batch(np.random.default_rng(seed))
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


def test_dense(seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(80):
        inputs, outputs = int(rng.choice([1, 2, 3, 4, 5, 8, 16, 17, 64, 130])), int(rng.integers(1, 22))
        vectors = () if rng.integers(2) else (int(rng.integers(1, 7)),)
        x = batch.input((*vectors, inputs))
        w, b, quant = weights(batch, (outputs, inputs), inputs, batch.builder.value(x).quant.scale[0], per_tensor=bool(rng.integers(2)))
        batch.add(Dense(str(rng.choice(ACTIVATIONS))), [x, w, b] if rng.integers(4) else [x, w], quant)
    batch.check(CORE)


def test_matmul(seed: int = 0) -> None:
    batch = Batch(np.random.default_rng(seed))
    rng = batch.rng
    for _ in range(50):
        leading = [int(number) for number in rng.integers(1, 4, rng.integers(0, 3))]
        rows, columns, depth = (int(number) for number in rng.integers(1, 40, 3))
        transposed = bool(rng.integers(2))
        spread = [1 if rng.integers(4) == 0 else number for number in leading]
        first, second = (spread, leading) if rng.integers(2) else (leading, spread)
        operands = [(*first, rows, depth), (*second, columns, depth) if transposed else (*second, depth, columns)]
        batch.add(MatMul(transposed), [batch.input(shape) for shape in operands], batch.quant(0.001, 2.0))
    batch.check(CORE, samples=2)


def test_rescaling_of_extreme_sums(seed: int = 0) -> None:
    """Weights of zero leave the biases: the ends of int32, and halves in either rounding, with factors from 2**-30 to 2**8."""
    batch = Batch(np.random.default_rng(seed))
    rng = batch.rng
    # With factors that are powers of two every odd number is a half in the first rounding, and many are in the second.
    near = np.concatenate([(1 << k) + np.arange(-3, 4) for k in range(8, 31)])
    sums = np.concatenate([np.arange(-40, 40), [(1 << 31) - 1, -(1 << 31), 1 - (1 << 31)], near, -near])
    for case in range(48):
        scales = np.exp2(rng.integers(*[(-30, -1), (-12, -2), (-30, 9)][case % 3], sums.size)).astype(np.float32)
        scales = scales if case % 2 else (scales * rng.uniform(0.5, 1, sums.size)).astype(np.float32)
        weight = batch.builder.constant("w", np.zeros((sums.size, 1, 1, 2), np.int8), quant=Quant.per_axis(scales, 0))
        bias = batch.builder.constant("b", rng.permutation(sums).astype(np.int32), dtype=DType.INT32)
        activation, zero_point = (("none", 5), ("relu", -128), ("relu", 9), ("relu6", -128))[case // 3 % 4]
        x = batch.input((1, 3, 2), Quant.per_tensor(1.0, 0))
        batch.add(Conv2D((1, 1), ((0, 0), (0, 0)), (1, 1), 1, activation), [x, weight, bias], Quant.per_tensor(1.0, zero_point))
        matrix = batch.builder.constant("w", np.zeros((sums.size, 2), np.int8), quant=Quant.per_axis(scales, 0))
        x = batch.input((2,), Quant.per_tensor(1.0, 0))
        batch.add(Dense(activation), [x, matrix, bias], Quant.per_tensor(1.0, zero_point))
    batch.check(CORE, samples=1)


def test_add_sub_mul(seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(120):
        first, second = shapes(rng)
        first, second = (tuple(n * 7 if n > 3 else n for n in shape) for shape in (first, second))
        op = rng.choice([Add, Sub, Mul])(str(rng.choice(ACTIVATIONS)))  # type: ignore[operator]
        other = batch.input(second if len(second) == len(first) else (1,) * (len(first) - len(second)) + second)
        same = batch.builder.value(other).quant if rng.integers(4) == 0 else None
        operands = [batch.input(first, same), other]
        quant = batch.quant(0.00002, 0.01) if isinstance(op, Mul) else batch.quant(0.005, 0.5)
        batch.add(op, operands if rng.integers(2) else operands[::-1], quant)
    batch.check(CORE)


def test_every_pair_of_summands() -> None:
    """All 65,536 pairs of bytes, with factors of 1/2 on either side, both, or neither."""
    for op, first, second in ((Add(), 0.05, 0.031), (Add(), 0.02, 0.031), (Sub("relu"), 0.031, 0.031), (Sub(), 0.02, 0.031)):
        builder = GraphBuilder("batch", Level.INTEGER)
        a = builder.input("a", (None, 256, 256), DType.INT8, Quant.per_tensor(first, -128))
        b = builder.input("b", (None, 256, 256), DType.INT8, Quant.per_tensor(second, 3))
        out = builder.node(op, [a, b], quants=[Quant.per_tensor(0.043, -7)], dtype=DType.INT8)
        every = np.arange(-128, 128, dtype=np.int8)
        pairs = [np.ascontiguousarray(np.broadcast_to(axis, (256, 256)))[None] for axis in (every[:, None], every)]
        compare(verify(builder.finish([out])), pairs, load_target(CORE))


def test_pools(seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for case in range(60):
        large = case % 10 == 0
        kernel = tuple(int(n) for n in rng.integers(*((14, 18) if large else (1, 5)), 2))
        stride = tuple(int(n) for n in rng.integers(1, 4, 2))
        padding = tuple((int(rng.integers(0, k)), int(rng.integers(0, k))) for k in kernel)
        height, width = (max(kernel[a] - sum(padding[a]), 1) + int(rng.integers(0, 6)) for a in range(2))
        x = batch.input((height, width, int(rng.integers(1, 35))))
        op = rng.choice([MaxPool2D, AveragePool2D])(kernel, stride, padding, str(rng.choice(ACTIVATIONS)))  # type: ignore[operator]
        batch.add(op, [x], batch.builder.value(x).quant)
    batch.check(CORE)


def test_average_of_many(seed: int = 0) -> None:
    """Windows of more pixels than 16 bits hold the sum of, up to more than a reciprocal of 32 bits divides by."""
    batch = Batch(np.random.default_rng(seed))
    for height, width in ((1, 256), (2, 300), (40, 40), (80, 81)):
        x = batch.input((height, width, 3))
        batch.add(AveragePool2D((height, width), (1, 1), ((0, 0), (0, 0))), [x], batch.builder.value(x).quant)
        batch.add(Mean((1, 2)), [x], batch.builder.value(x).quant)
    batch.check(CORE, samples=4)


def test_mean(seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(60):
        shape = tuple(int(n) for n in rng.integers(1, 9, rng.integers(1, 4)))
        shape = (*shape[:-1], shape[-1] * int(rng.choice([1, 5])))
        axes = tuple(int(a) for a in rng.permutation(len(shape))[: rng.integers(1, len(shape) + 1)] + 1)
        batch.add(Mean(tuple(sorted(axes)), bool(rng.integers(2))), [batch.input(shape)], batch.quant())
    batch.check(CORE)


def test_tables(seed: int = 0) -> None:
    batch = Batch(np.random.default_rng(seed))
    for count in (1, 15, 16, 17, 256, 300):
        batch.add(HardSwish(), [batch.input((count,))], batch.quant())
    batch.check(CORE)
