"""Convolutions and dense layers against the integer evaluation: random shapes, strides, paddings, zero points, extreme values."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Level
from edgewright.ir.verify import verify
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.transpose_conv2d import TransposeConv2D
from edgewright.targets.target import load_target
from tests.kernels.harness import Batch, compare

ACTIVATIONS = ("none", "relu", "relu6", "relu_n1_to_1")
CASES = 60


def weights(
    batch: Batch, shape: tuple[int, ...], fan_in: int, scale: float, *, per_tensor: bool = False, kept: float = 1.0
) -> tuple[str, str, Quant]:
    """Names of a weight and a bias, and a Quant for the output that makes its integers spread; factors above 1 occur. ``kept``: the share
    of weights that are not set to 0."""
    rng = batch.rng
    count = 1 if per_tensor else shape[0]
    scales = rng.uniform(0.0005, 0.02, count).astype(np.float32)
    if rng.integers(4) == 0:
        scales[rng.integers(count)] = rng.choice([1e-7, 2.0, 40.0])
    quant = Quant.per_tensor(float(scales[0])) if per_tensor else Quant.per_axis(scales, 0)
    numbers = batch.integers(shape)
    weight = batch.builder.constant("w", numbers if kept == 1 else numbers * (rng.random(shape) < kept).astype(np.int8), quant=quant)
    limit = int(rng.choice([1000, 100000, (1 << 31) - 1]))
    bias = batch.builder.constant("b", rng.integers(-limit, limit + 1, shape[0]).astype(np.int32), dtype=DType.INT32)
    spread = float(scale * np.median(scales) * 127 * 127 * np.sqrt(fan_in))
    return weight, bias, batch.quant(spread / 256, spread / 32)


def size(rng: np.random.Generator, most: int) -> tuple[int, int]:
    return int(rng.integers(1, most + 1)), int(rng.integers(1, most + 1))


def window(
    rng: np.random.Generator, kernel: tuple[int, int], dilation: tuple[int, int], largest: int
) -> tuple[tuple[int, int], tuple[tuple[int, int], ...]]:
    """An input size that the kernel fits with a padding."""
    padding = tuple((int(rng.integers(0, 3)), int(rng.integers(0, 3))) if rng.integers(2) else (0, 0) for _ in range(2))
    shape = tuple(max(dilation[a] * (kernel[a] - 1) + 1 - sum(padding[a]), 1) + int(rng.integers(0, largest)) for a in range(2))
    return (shape[0], shape[1]), padding


# 5000: a window of one pixel with a dilation, which means nothing, and that once had a kernel write beyond its working memory.
@pytest.mark.parametrize("seed", [0, 1, 5000])
def test_conv2d(target: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(CASES):
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        channels, outputs = groups * int(rng.choice([1, 2, 3, 4, 7, 8, 16])), groups * int(rng.integers(1, 10))
        kernel = size(rng, 4) if rng.integers(3) else (1, 1)
        stride, dilation = size(rng, 3) if rng.integers(2) else (1, 1), size(rng, 2) if rng.integers(4) == 0 else (1, 1)
        shape, padding = window(rng, kernel, dilation, 7)
        x = batch.input((*shape, channels))
        fan_in = kernel[0] * kernel[1] * channels // groups
        w, b, quant = weights(batch, (outputs, *kernel, channels // groups), fan_in, batch.builder.value(x).quant.scale[0])
        op = Conv2D(stride, padding, dilation, groups, str(rng.choice(ACTIVATIONS)))
        batch.add(op, [x, w, b] if rng.integers(4) else [x, w], quant)
    batch.check(target)


@pytest.mark.parametrize("seed", range(2))
def test_depthwise_conv2d(target: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(CASES):
        channels, multiplier = int(rng.integers(1, 10)), int(rng.choice([1, 1, 1, 2, 3, 8]))
        kernel = [(3, 3), (5, 5), size(rng, 6)][int(rng.integers(3))]
        stride = (lambda s: (s, s))(int(rng.integers(1, 4))) if rng.integers(3) else size(rng, 3)
        dilation = size(rng, 2) if rng.integers(4) == 0 else (1, 1)
        shape, padding = window(rng, kernel, dilation, 12 if rng.integers(10) else 60)
        x = batch.input((*shape, channels))
        w, b, quant = weights(batch, (channels * multiplier, *kernel, 1), kernel[0] * kernel[1], batch.builder.value(x).quant.scale[0])
        op = DepthwiseConv2D(stride, padding, dilation, multiplier, str(rng.choice(ACTIVATIONS)))
        batch.add(op, [x, w, b] if rng.integers(4) else [x, w], quant)
    batch.check(target)


def test_transpose_conv2d(target: str, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(CASES):
        channels, outputs = int(rng.integers(1, 10)), int(rng.integers(1, 10))
        kernel, stride, shape = size(rng, 4), size(rng, 3), size(rng, 5)
        padding = tuple((int(rng.integers(0, 2)), 0) for _ in range(2))
        extra = tuple(int(rng.integers(0, 2)) for _ in range(2))
        if any((shape[a] - 1) * stride[a] + kernel[a] - sum(padding[a]) + extra[a] < 1 for a in range(2)):
            padding = ((0, 0), (0, 0))
        x = batch.input((*shape, channels))
        w, b, quant = weights(batch, (outputs, *kernel, channels), kernel[0] * kernel[1] * channels, batch.builder.value(x).quant.scale[0])
        op = TransposeConv2D(stride, padding, extra, str(rng.choice(ACTIVATIONS)))
        batch.add(op, [x, w, b] if rng.integers(4) else [x, w], quant)
    batch.check(target)


def test_dense(target: str, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(CASES):
        inputs, outputs = int(rng.choice([1, 2, 3, 4, 5, 8, 17, 64, 130, 1021])), int(rng.integers(1, 12))
        vectors = () if rng.integers(2) else (int(rng.integers(1, 7)),)
        x = batch.input((*vectors, inputs))
        w, b, quant = weights(batch, (outputs, inputs), inputs, batch.builder.value(x).quant.scale[0], per_tensor=bool(rng.integers(2)))
        batch.add(Dense(str(rng.choice(ACTIVATIONS))), [x, w, b] if rng.integers(4) else [x, w], quant)
    batch.check(target)


@pytest.mark.parametrize("extremes", [(-128, -128), (-128, 127), (127, -128), (127, 127)])
def test_dense_of_extremes(extremes: tuple[int, int]) -> None:
    """Rows of the largest sums, next to rows of the smallest: where kernels multiply two rows at once, neither reaches into the other."""
    rng = np.random.default_rng(0)
    builder = GraphBuilder("batch", Level.INTEGER)
    inputs, per_row = 1023, np.array([extremes[0], extremes[1], -1, 1, extremes[1], extremes[0], 0, extremes[0], 127], np.int8)
    x = builder.input("x", (None, inputs), DType.INT8, Quant.per_tensor(0.1, 3))
    w = builder.constant("w", np.repeat(per_row[:, None], inputs, 1), quant=Quant.per_axis(np.full(9, 0.01, np.float32), 0))
    b = builder.constant("b", rng.integers(-(1 << 20), 1 << 20, 9).astype(np.int32), dtype=DType.INT32)
    graph = verify(builder.finish([builder.node(Dense("none"), [x, w, b], quants=[Quant.per_tensor(300.0, 0)], dtype=DType.INT8)]))
    rows = [np.full((1, inputs), value, np.int8) for value in (-128, 127, -1)]
    compare(graph, [np.concatenate(rows)], load_target("host").model_copy(update={"kernels": ("dsp", "portable")}))
