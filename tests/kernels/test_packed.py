"""Weights of a few bits against the integer evaluation: every width, computed and looked-up values, all orders of rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgewright.emit.c.packing import pack_indices
from edgewright.errors import ModelError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Structure
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.targets.stored import Stored, stored
from tests.kernels.harness import Batch
from tests.kernels.test_convolution import ACTIVATIONS, size, window

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("cortex-m0plus", "cortex-m3", "cortex-m4 size", "rv32imac")]
CASES = 24
TABLES = ((-8, None), (-2, None), (-1, 0, 1), (-1, 1), (-128, 127), (-128, -43, 42, 127), (5, 6, 7), "book", "book")
"""All integers from the first on, as of a narrow type; or a codebook; or a random one."""


def weight(batch: Batch, shape: tuple[int, ...], fan_in: int, scale: float) -> tuple[str, str, Quant]:
    """A weight with a structure, a bias, and a Quant of the output that spreads its integers."""
    rng = batch.rng
    table = TABLES[rng.integers(len(TABLES))]
    if table == "book":
        values = np.sort(rng.choice(np.arange(-128, 128), int(rng.integers(2, 17)), replace=False))
    else:
        values = np.arange(table[0], -table[0]) if table[-1] is None else np.array(table)
    narrow = table != "book" and table[-1] is None
    structure = Structure(bits=int(np.log2(len(values)))) if narrow else Structure(codebook=values.astype(np.int8))
    scales = rng.uniform(0.0005, 0.02, shape[0]).astype(np.float32)
    array = rng.choice(values, shape).astype(np.int8)
    name = batch.builder.constant("w", array, quant=Quant.per_axis(scales, 0), structure=structure)
    bias = batch.builder.constant("b", rng.integers(-3000, 3001, shape[0]).astype(np.int32), dtype=DType.INT32)
    spread = float(scale * np.median(scales) * 64 * max(1, np.abs(values).max()) * np.sqrt(fan_in))
    return name, bias, batch.quant(spread / 256, spread / 32)


@pytest.fixture(params=["portable", "dsp", "size", "cortex-m4", *SLOW])
def target(request: pytest.FixtureRequest) -> str:
    """Kernels that take packed weights: a folder on this computer, or an emulated device."""
    name = str(request.param)
    request.getfixturevalue("needs_arm" if name.startswith("cortex") else "needs_riscv" if name == "rv32imac" else "needs_cc")
    return name


def test_conv2d(target: str, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(CASES):
        groups = int(rng.choice([1, 1, 1, 2]))
        channels, outputs = groups * int(rng.choice([1, 3, 4, 8, 16, 40])), groups * int(rng.integers(1, 12))
        kernel = size(rng, 3) if rng.integers(3) else (1, 1)
        stride, dilation = size(rng, 2) if rng.integers(2) else (1, 1), size(rng, 2) if rng.integers(4) == 0 else (1, 1)
        shape, padding = window(rng, kernel, dilation, 5)
        x = batch.input((*shape, channels))
        fan_in = kernel[0] * kernel[1] * channels // groups
        w, b, quant = weight(batch, (outputs, *kernel, channels // groups), fan_in, batch.builder.value(x).quant.scale[0])
        op = Conv2D(stride, padding, dilation, groups, str(rng.choice(ACTIVATIONS)))
        batch.add(op, [x, w, b] if rng.integers(4) else [x, w], quant)
    batch.check(target)


def test_dense_and_depthwise(target: str, seed: int = 7) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for case in range(CASES):
        if case % 4 == 3:
            channels, multiplier = int(rng.integers(1, 5)), int(rng.choice([1, 2]))
            x = batch.input((6, 6, channels))
            w, b, quant = weight(batch, (channels * multiplier, 4, 4, 1), 16, batch.builder.value(x).quant.scale[0])
            batch.add(DepthwiseConv2D(multiplier=multiplier), [x, w, b], quant)
            continue
        vectors = int(rng.choice([1, 1, 2, 5]))
        inputs, outputs = int(rng.choice([1, 5, 32, 127, 128, 129, 300])), int(rng.integers(1, 11))
        x = batch.input((inputs,) if vectors == 1 else (vectors, inputs))
        w, b, quant = weight(batch, (outputs, inputs), inputs, batch.builder.value(x).quant.scale[0])
        batch.add(Dense(str(rng.choice(ACTIVATIONS))), [x, w, b], quant)
    batch.check(target)


def test_most_of_the_battery_is_packed() -> None:
    """A battery that falls back to bytes would prove nothing."""
    rng = np.random.default_rng(0)
    batch = Batch(rng)
    for _ in range(40):
        x = batch.input((4, 4, 16))
        w, b, quant = weight(batch, (8, 3, 3, 16), 144, 0.1)
        batch.add(Conv2D(), [x, w, b], quant)
    graph = batch.builder.finish(batch.outputs)
    for kernels in (("portable",), ("dsp", "portable"), ("size", "portable")):
        found = [stored(graph, node, kernels) for node in graph.nodes]
        assert {entry.bits for entry in found} == {1, 2, 4}
        assert {entry.step == 0 for entry in found} == {True, False}
    assert stored(graph, graph.nodes[0], ("helium", "dsp", "portable")) is None


def test_two_values_take_one_bit_in_rows_that_are_filled_up() -> None:
    """Where rows are filled up to fours, it is with one of the two."""
    batch = Batch(np.random.default_rng(0))
    structure = Structure(codebook=np.array([-1, 1], np.int8))
    w = batch.builder.constant("w", np.ones((8, 3, 3, 7), np.int8), quant=Quant.per_axis(np.ones(8, np.float32), 0), structure=structure)
    batch.add(Conv2D(), [batch.input((4, 4, 7)), w], batch.quant(0.5, 1.0))
    graph = batch.builder.finish(batch.outputs)
    found = stored(graph, graph.nodes[0], ("dsp", "portable"))
    assert found is not None and (found.bits, found.fill) == (1, -1)


def test_values_beside_the_codebook_are_refused() -> None:
    with pytest.raises(ModelError, match="structure lacks"):
        pack_indices([np.array([1, 2, 3])], Stored(1, (1, 3)))


def test_steps() -> None:
    assert Stored(2, (-1, 0, 1)).step == 1
    assert Stored(1, (-128, 127)).step == 255
    assert Stored(2, (-128, 0, 127)).step == 0
    assert Stored(4, (0, 100)).step == 0, "an index of 15 would overflow"
    assert dataclasses.replace(Stored(4, (3,))).step == 1
