"""Weights that are mostly zeros against the integer evaluation: long gaps, empty rows, windows at the edge, every count of positions."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.emit.c.call_sparse import pack_entries
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Graph, Structure
from edgewright.lower.scratch import scratch_bytes
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.targets.sparse import entries_of, is_sparse, sparse_bytes
from edgewright.targets.target import Target, load_target
from tests.kernels.harness import FOLDERS, Batch, compare
from tests.kernels.test_convolution import ACTIVATIONS, size, window

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("size", "cortex-m0plus", "cortex-m55", "rv32imac")]
CASES = 24
ANY = 1e9
"""A share with which every pruned layer counts as sparse."""


@pytest.fixture(params=["portable", "cortex-m4", *SLOW])
def target(request: pytest.FixtureRequest) -> Target:
    name = str(request.param)
    request.getfixturevalue("needs_arm" if name.startswith("cortex") else "needs_riscv" if name == "rv32imac" else "needs_cc")
    return any_is_sparse(name)


def any_is_sparse(name: str) -> Target:
    """A folder of kernels in C on this computer, or a core; whatever is pruned counts as sparse."""
    folder = name in FOLDERS
    kernels = (name, "portable") if folder else load_target(name).kernels
    return load_target("host" if folder else name).model_copy(update={"kernels": kernels, "sparse_share": ANY})


def weight(batch: Batch, shape: tuple[int, ...], scale: float) -> tuple[str, str, Quant]:
    rng = batch.rng
    density = float(rng.choice([0.0, 0.003, 0.05, 0.3, 1.0]))
    array = np.where(rng.random(shape) < density, batch.integers(shape), 0).astype(np.int8)
    array[0] = 0
    scales = rng.uniform(0.0005, 0.02, shape[0]).astype(np.float32)
    name = batch.builder.constant("w", array, quant=Quant.per_axis(scales, 0), structure=Structure(mask=array != 0))
    bias = batch.builder.constant("b", rng.integers(-3000, 3001, shape[0]).astype(np.int32), dtype=DType.INT32)
    spread = float(scale * np.median(scales) * 64 * 64 * np.sqrt(1 + density * array[0].size))
    return name, bias, batch.quant(spread / 256, spread / 32)


def check(batch: Batch, target: Target) -> None:
    graph = batch.builder.finish(batch.outputs)
    sparse = [is_sparse(graph, node, target.kernels, ANY) for node in graph.nodes]
    assert all(sparse) or ("size" in target.kernels and sum(sparse) > len(sparse) / 2)
    inputs = [batch.integers((3, *graph.value(name).shape[1:])) for name in graph.inputs]
    compare(graph, inputs, target)


def test_conv2d(target: Target, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(CASES):
        channels, outputs = int(rng.choice([1, 3, 8, 40, 300])), int(rng.integers(1, 12))
        kernel = size(rng, 3) if rng.integers(3) else (1, 1)
        stride, dilation = size(rng, 2) if rng.integers(2) else (1, 1), size(rng, 2) if rng.integers(4) == 0 else (1, 1)
        shape, padding = window(rng, kernel, dilation, 5)
        x = batch.input((*shape, channels))
        w, b, quant = weight(batch, (outputs, *kernel, channels), batch.builder.value(x).quant.scale[0])
        batch.add(Conv2D(stride, padding, dilation, 1, str(rng.choice(ACTIVATIONS))), [x, w, b] if rng.integers(4) else [x, w], quant)
    check(batch, target)


def test_dense(target: Target, seed: int = 1) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(CASES):
        vectors = int(rng.choice([1, 1, 2, 5]))
        inputs, outputs = int(rng.choice([1, 5, 127, 300, 1100])), int(rng.integers(1, 11))
        x = batch.input((inputs,) if vectors == 1 else (vectors, inputs))
        w, b, quant = weight(batch, (outputs, inputs), batch.builder.value(x).quant.scale[0])
        batch.add(Dense(str(rng.choice(ACTIVATIONS))), [x, w, b], quant)
    check(batch, target)


def test_entries_are_counted_as_they_are_packed() -> None:
    rng = np.random.default_rng(0)
    for density in (0.0, 0.002, 0.1, 1.0):
        rows = np.where(rng.random((9, 1500)) < density, rng.integers(1, 100, (9, 1500)), 0).astype(np.int8)
        counts, entries = pack_entries(rows)
        np.testing.assert_array_equal(counts, entries_of(rows))
        assert sparse_bytes(rows) == counts.nbytes + entries.nbytes
        for row, part in zip(rows, np.split(entries, np.cumsum(2 * counts.astype(int))[:-1]), strict=True):
            found, at = np.zeros(1500, np.int8), 0
            for gap, value in part.reshape(-1, 2):
                at += int(gap)
                found[at] = value.view(np.int8)
                at += 1
            np.testing.assert_array_equal(found, row)


def layer(density: float, bits: int | None = None, *, masked: bool = True) -> Graph:
    batch = Batch(np.random.default_rng(0))
    x = batch.input((400,))
    array = (batch.rng.random((20, 400)) < density).astype(np.int8)
    structure = Structure(mask=array != 0 if masked else None, bits=bits)
    w = batch.builder.constant("w", array, quant=Quant.per_axis(np.full(20, 0.1, np.float32), 0), structure=structure)
    batch.add(Dense(), [x, w], batch.quant())
    return batch.builder.finish(batch.outputs)


def test_when_a_layer_counts_as_sparse() -> None:
    kernels, small = ("dsp", "portable"), ("size", "portable")

    def sparse(graph: Graph, kernels: tuple[str, ...], share: float = 0.2) -> bool:
        return is_sparse(graph, graph.nodes[0], kernels, share)

    assert sparse(layer(0.1), kernels)
    assert not sparse(layer(0.3), kernels)
    assert not sparse(layer(0.1), kernels, 0.0)
    assert not sparse(layer(0.1, masked=False), kernels), "nobody pruned it"
    assert sparse(layer(0.22, bits=4), kernels), "unpacked it would take more bytes and more time"
    assert not sparse(layer(0.22, bits=4), kernels, 0.0)
    assert not sparse(layer(0.1), ("cpu", "portable")), "that has a kernel of its own"
    assert sparse(layer(0.4), small, 0.0), "two bytes for each of 40 %"
    assert not sparse(layer(0.4, bits=4), small), "half a byte for each is less"
    assert sparse(layer(0.1, bits=4), small)


def test_a_dense_layer_needs_no_working_memory() -> None:
    graph = layer(0.1)
    assert scratch_bytes(graph, graph.nodes[0], load_target("cortex-m4").model_copy(update={"sparse_share": ANY})) == 0
