"""The kernels for CPUs, with each set of instructions, on layers wider than the blocks that they compute at once; under the sanitizers on
this computer."""

from __future__ import annotations

import platform
import shutil

import numpy as np
import pytest

from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.run.toolchain import find_platform
from edgewright.targets.target import load_target
from tests.kernels.harness import NEON, X86, Batch
from tests.kernels.test_convolution import ACTIVATIONS, size, weights, window

CASES = 40
BUILDS = ("host", *(pytest.param(name, marks=pytest.mark.slow) for name in X86))


@pytest.mark.usefixtures("needs_cc")
@pytest.mark.parametrize("target", BUILDS)
def test_on_this_computer(target: str) -> None:
    if target.startswith("x86") and platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("the flags are those of x86")
    check_wide_layers(target, 0)
    check_sparse_layers(target, 0)


@pytest.mark.usefixtures("needs_aarch64")
@pytest.mark.parametrize("target", NEON)
def test_on_cortex_a(target: str) -> None:
    check_wide_layers(target, 0)
    check_sparse_layers(target, 0)


@pytest.mark.slow
@pytest.mark.usefixtures("needs_pip_toolchain", "needs_aarch64")
def test_on_cortex_a_compiled_by_zig(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name.endswith("-gcc") else found(name))
    assert "ziglang" in find_platform(load_target("cortex-a53")).compiler
    check_wide_layers("neon", 1)


def check_sparse_layers(target: str, seed: int) -> None:
    """1x1 convolutions and dense layers of many vectors, whose weights are zeros or not, by the kernel for sparse ones."""
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(CASES // 2):
        inputs, outputs = int(rng.choice([1, 3, 16, int(rng.integers(1, 150))])), int(rng.integers(1, 40))
        shape = (int(rng.integers(4, 12)), int(rng.integers(4, 25)))
        dense, activation = rng.integers(3) == 0, str(rng.choice(ACTIVATIONS))
        x = batch.input((*shape, inputs))
        form = (outputs, inputs) if dense else (outputs, 1, 1, inputs)
        scale, kept = batch.builder.value(x).quant.scale[0], float(rng.choice([0.0, 0.1, 0.5, 1.0]))
        w, b, quant = weights(batch, form, inputs, scale, kept=kept)
        op = Dense(activation) if dense else Conv2D((1, 1), ((0, 0), (0, 0)), (1, 1), 1, activation)
        batch.add(op, [x, w, b], quant)
    batch.check(target, sparse_share=1.0)


def check_wide_layers(target: str, seed: int) -> None:
    """Random convolutions, depthwise convolutions and dense layers, compared with the integer evaluation."""
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(CASES):
        kind, activation = rng.integers(3), str(rng.choice(ACTIVATIONS))
        channels = int(rng.choice([1, 3, 4, 12, 16, 17, 31, 32, 48, 64]))
        kernel = size(rng, 3) if rng.integers(2) else (1, 1)
        stride, dilation = size(rng, 2), size(rng, 2) if rng.integers(4) == 0 else (1, 1)
        if kind == 0:
            outputs, inputs = int(rng.integers(1, 70)), int(rng.integers(1, 150))
            x = batch.input((int(rng.integers(1, 20)), inputs) if rng.integers(2) else (inputs,))
            w, b, quant = weights(batch, (outputs, inputs), inputs, batch.builder.value(x).quant.scale[0])
            batch.add(Dense(activation), [x, w, b], quant)
            continue
        if kind == 1:
            kernel = (3, 3) if rng.integers(2) else size(rng, 9)
        shape, padding = window(rng, kernel, dilation, 9)
        x = batch.input((*shape, channels))
        if kind == 1:
            w, b, quant = weights(batch, (channels, *kernel, 1), kernel[0] * kernel[1], batch.builder.value(x).quant.scale[0])
            batch.add(DepthwiseConv2D(stride, padding, dilation, 1, activation), [x, w, b], quant)
            continue
        groups = 2 if channels % 2 == 0 and rng.integers(4) == 0 else 1
        filters = groups * int(rng.integers(1, 50))
        fan_in = kernel[0] * kernel[1] * channels // groups
        w, b, quant = weights(batch, (filters, *kernel, channels // groups), fan_in, batch.builder.value(x).quant.scale[0])
        batch.add(Conv2D(stride, padding, dilation, groups, activation), [x, w, b], quant)
    batch.check(target)
