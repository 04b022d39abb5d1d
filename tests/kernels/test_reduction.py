"""The kernels of pooling, means, softmax and interpolation against the integer evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.ir.dtype import DType, Quant
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.gru import GRU
from edgewright.ops.layer_norm import LayerNorm
from edgewright.ops.log_softmax import LogSoftmax
from edgewright.ops.lstm import LSTM
from edgewright.ops.matmul import MatMul
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.mean import Mean
from edgewright.ops.resize import Resize
from edgewright.ops.softmax import Softmax
from tests.kernels.harness import Batch

ACTIVATIONS = ("none", "relu", "relu6", "relu_n1_to_1")


def test_pools(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(60):
        kernel, stride = tuple(int(n) for n in rng.integers(1, 5, 2)), tuple(int(n) for n in rng.integers(1, 4, 2))
        padding = tuple((int(rng.integers(0, k)), int(rng.integers(0, k))) for k in kernel)
        height, width = (max(kernel[a] - sum(padding[a]), 1) + int(rng.integers(0, 6)) for a in range(2))
        x = batch.input((height, width, int(rng.integers(1, 9))))
        op = rng.choice([MaxPool2D, AveragePool2D])(kernel, stride, padding, str(rng.choice(ACTIVATIONS)))  # type: ignore[operator]
        batch.add(op, [x], batch.builder.value(x).quant)
    batch.check(target)


def test_mean(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(60):
        shape = tuple(int(n) for n in rng.integers(1, 9, rng.integers(1, 4)))
        axes = tuple(int(a) for a in rng.permutation(len(shape))[: rng.integers(1, len(shape) + 1)] + 1)
        batch.add(Mean(tuple(sorted(axes)), bool(rng.integers(2))), [batch.input(shape)], batch.quant())
    batch.check(target)


def test_softmax(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(30):
        depth = int(rng.choice([1, 2, 3, 10, 12, 100, 1000]))
        shape = (depth,) if rng.integers(2) else (int(rng.integers(1, 5)), depth)
        scale = batch.quant(*[(0.0001, 0.001), (0.01, 0.2), (0.2, 4.0)][rng.integers(3)])
        batch.add(Softmax(float(rng.choice([1.0, 0.5, 2.0]))), [batch.input(shape, scale)], Quant.per_tensor(1 / 256, -128))
        batch.add(LogSoftmax(), [batch.input(shape, scale)], Quant.per_tensor(16 / 256, 127))
    batch.check(target, samples=8)


@pytest.mark.parametrize("target", ["host", "dsp"])
def test_matmul(target: str, needs_cc: None, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(60):
        leading = [int(size) for size in rng.integers(1, 4, rng.integers(0, 3))]
        rows, columns, depth = (int(size) for size in rng.integers(1, 16, 3))
        transposed = bool(rng.integers(2))
        spread = [1 if rng.integers(4) == 0 else size for size in leading]
        first, second = (spread, leading) if rng.integers(2) else (leading, spread)
        operands = [(*first, rows, depth), (*second, columns, depth) if transposed else (*second, depth, columns)]
        batch.add(MatMul(transposed), [batch.input(shape) for shape in operands], batch.quant(0.001, 2.0))
    batch.check(target)


def test_layer_norm(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(40):
        channels = int(rng.choice([1, 2, 7, 32, 300]))
        rows = [int(size) for size in rng.integers(1, 5, rng.integers(0, 3))]
        x = batch.input((*rows, channels), batch.quant(*[(1e-5, 1e-3), (0.01, 2.0)][rng.integers(2)]))
        steps = rng.uniform(1e-4, 0.02, channels).astype(np.float32)
        unit = np.float32(LayerNorm().product_scale(1.0))
        scale = batch.builder.constant("scale", batch.integers((channels,)), quant=Quant.per_axis(steps, 0, DType.INT8))
        bias = rng.integers(-(1 << 20), 1 << 20, channels).astype(np.int32)
        offset = batch.builder.constant("offset", bias, quant=Quant.per_axis(steps * unit, 0, DType.INT32))
        batch.add(LayerNorm(float(rng.choice([1e-12, 1e-5, 0.1]))), [x, scale, offset], batch.quant(0.005, 0.1))
    batch.check(target)


def test_recurrent(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for count in range(30):
        op, gates = (LSTM(int(rng.integers(-12, -8))), 4) if count % 2 else (GRU(), 3)
        steps, inputs, units = (int(rng.choice(sizes)) for sizes in ([1, 2, 9], [1, 3, 20], [1, 2, 13]))
        x, output = batch.input((steps, inputs)), batch.quant(0.002, 0.02)
        names, biases = [], []
        for size in (inputs, units):
            scales = np.repeat(rng.uniform(1e-4, 0.02, gates).astype(np.float32), units)
            weight = batch.integers((gates * units, size))
            names.append(batch.builder.constant("w", weight, quant=Quant.per_axis(scales, 0, DType.INT8)))
            numbers = rng.integers(-(1 << 18), 1 << 18, gates * units).astype(np.int32)
            biases.append(batch.builder.constant("b", numbers, quant=Quant.per_axis(scales, 0, DType.INT32)))
        batch.add(op, [x, *names, *biases[: 2 if gates == 3 else 1]], output)
    batch.check(target)


def test_resize_bilinear(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(40):
        x = batch.input(tuple(int(n) for n in rng.integers(1, 8, 3)))
        flags = [(False, False), (True, False), (False, True)][rng.integers(3)]
        batch.add(Resize(tuple(int(n) for n in rng.integers(1, 12, 2)), "bilinear", *flags), [x], batch.builder.value(x).quant)
    batch.check(target)
