"""Kernels that move elements against the integer evaluation: concatenation, slices, transposition, padding, nearest neighbours."""

from __future__ import annotations

import numpy as np

from edgewright.ir.dtype import DType
from edgewright.ops.concat import Concat
from edgewright.ops.pad import Pad
from edgewright.ops.reshape import Reshape
from edgewright.ops.resize import Resize
from edgewright.ops.slice import Slice
from edgewright.ops.transpose import Transpose
from tests.kernels.harness import Batch

TYPES = (DType.INT8, DType.INT8, DType.INT16, DType.INT32)


def some_input(batch: Batch, shape: tuple[int, ...], dtype: DType, zero_point: int = 0) -> str:
    quant = batch.quant(zero_point=zero_point)
    return batch.builder.input(batch.builder.fresh("x"), (None, *shape), dtype, type(quant)(dtype, quant.scale, quant.zero_point))


def some_shape(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(n) for n in rng.integers(1, 6, rng.integers(1, 5)))


def test_concat(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(40):
        shape, dtype = some_shape(rng), TYPES[rng.integers(4)]
        axis = int(rng.integers(1, len(shape) + 1))
        first = some_input(batch, shape, dtype)
        parts = [first]
        for _ in range(int(rng.integers(0, 4))):
            other = tuple(int(rng.integers(1, 5)) if at == axis - 1 else n for at, n in enumerate(shape))
            parts.append(batch.builder.input(batch.builder.fresh("x"), (None, *other), dtype, batch.builder.value(first).quant))
        batch.add(Concat(axis), parts, batch.builder.value(first).quant, dtype)
    batch.check(target)


def test_slice_and_transpose(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(60):
        shape, dtype = some_shape(rng), TYPES[rng.integers(4)]
        x = some_input(batch, shape, dtype)
        stride = [int(rng.integers(1, 4)) if rng.integers(3) == 0 else 1 for _ in shape]
        begin = [int(rng.integers(0, n)) for n in shape]
        size = [int(rng.integers(1, (n - b - 1) // s + 2)) for n, b, s in zip(shape, begin, stride, strict=True)]
        quant = batch.builder.value(x).quant
        batch.add(Slice((0, *begin), (None, *size), (1, *stride)), [x], quant, dtype)
        batch.add(Transpose((0, *(int(n) + 1 for n in rng.permutation(len(shape))))), [some_input(batch, shape, dtype)], quant, dtype)
    batch.check(target)


def test_pad(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(50):
        shape, dtype = some_shape(rng), TYPES[rng.integers(4)]
        x = some_input(batch, shape, dtype, zero_point=int(rng.integers(-128, 128)) if dtype is DType.INT8 else 0)
        mode = str(rng.choice(["constant", "reflect"]))
        padding = [tuple(int(n) for n in rng.integers(0, 3 if mode == "constant" else min(size, 3), 2)) for size in shape]
        value = float(rng.uniform(-20, 20)) if rng.integers(2) and mode == "constant" else 0.0
        batch.add(Pad(((0, 0), *padding), value, mode), [x], batch.builder.value(x).quant, dtype)
    batch.check(target)


def test_resize_nearest_and_views(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(30):
        height, width, channels = (int(n) for n in rng.integers(1, 7, 3))
        dtype = TYPES[rng.integers(4)]
        x = some_input(batch, (height, width, channels), dtype)
        quant = batch.builder.value(x).quant
        flags = [(False, False), (True, False), (False, True)][rng.integers(3)]
        batch.add(Resize(tuple(int(n) for n in rng.integers(1, 10, 2)), "nearest", *flags), [x], quant, dtype)
        y = some_input(batch, (height, width, channels), dtype)
        batch.add(Reshape((None, height * width * channels)), [y], batch.builder.value(y).quant, dtype)
    batch.check(target)
