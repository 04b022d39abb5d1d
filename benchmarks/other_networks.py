"""Instructions on Cortex-M against TFLM with CMSIS-NN on networks of other kinds, with random weights: separable, dense, one-dimensional,
and one that has large and odd windows, odd channel counts and joins of every kind.

The peer's figures were counted once, on the .tflite of these very networks: tflite-micro 90b983c2 with CMSIS-NN 4ab83cc3,
arm-none-eabi-gcc 12.2, -Os for its core and -O2 for the kernels, -DNDEBUG -DTF_LITE_STRIP_ERROR_STRINGS, soft float but on the M55,
under QEMU 7.2. Its outputs were ours to the byte. Built so, it takes 7,578,269 instructions (8.77 M modelled cycles) for kws_int8 on the
M4, where upstream's release build takes 7,696,428 (8.88 M).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import edgewright
from edgewright.lower.program import make_program
from edgewright.ops.evaluate import evaluate_in_order
from edgewright.targets.target import load_target
from edgewright.verbs.proof import random_inputs


def _block(channels: int, out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, size, stride, size // 2, groups=groups), nn.ReLU())


def mobilenet_v1() -> tuple[nn.Module, tuple[int, ...]]:
    """MobileNetV1 0.25 at 96 x 96, two classes, as MLPerf Tiny's person detector (arXiv:1704.04861)."""
    layers: list[nn.Module] = [_block(3, 8, 3, 2)]
    channels = 8
    for out, stride in ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)):
        layers += [_block(channels, channels, 3, stride, channels), _block(channels, out, 1)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 2), nn.Softmax(1)), (1, 3, 96, 96)


def autoencoder() -> tuple[nn.Module, tuple[int, ...]]:
    """The autoencoder of MLPerf Tiny's anomaly detector."""
    sizes = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 640)), (1, 640)


def time_series() -> tuple[nn.Module, tuple[int, ...]]:
    """One-dimensional convolutions over 500 samples of one channel."""
    layers: list[nn.Module] = []
    channels = 1
    for out, size, stride in ((16, 9, 2), (32, 7, 2), (64, 5, 2), (64, 3, 1)):
        layers += [nn.Conv1d(channels, out, size, stride, size // 2), nn.ReLU()]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 2)), (1, 1, 500)


class _Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = _block(1, 12, 5, 2)
        self.wide = _block(12, 12, 5, 1, 12)
        self.one = _block(12, 22, 1)
        self.far = _block(22, 22, 5, 2, 22)
        self.left, self.right = _block(22, 18, 3), _block(22, 14, 1)
        self.mix = _block(32, 32, 3, 1, 4)
        self.last = nn.Linear(32, 7)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        x = self.far(self.one(self.wide(self.first(inputs))))
        x = functional.avg_pool2d(torch.cat([self.left(x), self.right(x)], 1), 2)
        return self.last((x + self.mix(x)).mean((2, 3)))


def mixed() -> tuple[nn.Module, tuple[int, ...]]:
    """5x5 windows, 5x5 depthwise with strides 1 and 2, 12, 14, 18 and 22 channels, a concatenation, pooling, groups and a residual."""
    return _Mixed(), (1, 1, 48, 48)


class _Segmenter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = _block(3, 8, 3), _block(8, 16, 3, 2), _block(16, 24, 3, 2)
        self.up, self.join = nn.ConvTranspose2d(24, 16, 2, 2), _block(32, 16, 3)
        self.top, self.last = nn.ConvTranspose2d(16, 8, 3, 2, 1, 1), nn.Conv2d(16, 4, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        x = self.first(inputs)
        y = self.second(x)
        z = self.join(torch.cat([functional.relu(self.up(self.third(y))), y], 1))
        return self.last(torch.cat([functional.relu(self.top(z)), x], 1))


def segmenter() -> tuple[nn.Module, tuple[int, ...]]:
    """A small U-Net (arXiv:1505.04597): transposed convolutions of 2x2 and 3x3, both with stride 2, and concatenations."""
    return _Segmenter(), (1, 3, 32, 32)


NETWORKS: Mapping[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {
    "MobileNetV1 0.25, 96": mobilenet_v1,
    "autoencoder": autoencoder,
    "1-D convolutions, 500": time_series,
    "mixed, 48": mixed,
    "U-Net, 32": segmenter,
}
PEER: Mapping[str, Mapping[str, int]] = {
    "MobileNetV1 0.25, 96": {"cortex-m4": 21_484_207, "cortex-m55": 6_399_488},
    "autoencoder": {"cortex-m4": 573_810, "cortex-m55": 280_344},
    "1-D convolutions, 500": {"cortex-m4": 4_715_399, "cortex-m55": 1_183_632},
    "mixed, 48": {"cortex-m4": 6_955_572, "cortex-m55": 1_983_393},
}
CYCLES_M4: Mapping[str, int] = {
    "MobileNetV1 0.25, 96": 25_190_663,
    "autoencoder": 694_464,
    "1-D convolutions, 500": 5_830_154,
    "mixed, 48": 8_772_905,
}


def quantized(name: str) -> edgewright.Optimized:
    """The network called ``name``, w8a8, with weights and calibration samples of seed 0."""
    torch.manual_seed(0)
    module, shape = NETWORKS[name]()
    samples = np.random.default_rng(0).normal(size=(8, *shape[1:])).astype(np.float32)
    if len(shape) > 2:
        samples = np.moveaxis(samples, 1, -1)
    return edgewright.optimize(module.eval(), example_inputs=(torch.zeros(shape),), data=samples)


def rows() -> list[dict[str, object]]:
    """One row a network and core; ``ratio`` is ours over the peer's (below 1 is better)."""
    return [row for name in NETWORKS for row in _rows(name)]


def _rows(name: str) -> list[dict[str, object]]:
    graph = quantized(name).graph
    inputs = random_inputs(graph, 1)
    expected = evaluate_in_order(graph, inputs)
    rows: list[dict[str, object]] = []
    for core in ("cortex-m4", "cortex-m55"):
        program = make_program(graph, load_target(core))
        run = edgewright.measure(program, inputs)
        peer = PEER.get(name, {}).get(core)
        row: dict[str, object] = {
            "network": name,
            "core": core,
            "multiply-accumulates": sum(node.op.macs(graph.ins(node), graph.outs(node)) for node in graph.nodes),
            "instructions": run.instructions_per_inference,
            "peer": peer,
            "ratio": None if peer is None or run.instructions_per_inference is None else round(run.instructions_per_inference / peer, 3),
            "same bytes": all(np.array_equal(ours, theirs) for ours, theirs in zip(run.outputs, expected, strict=True)),
        }
        if core == "cortex-m4" and run.cycles_modelled is not None and name in CYCLES_M4:
            row["cycle ratio"] = round(run.cycles_modelled / CYCLES_M4[name], 3)
        rows.append(row)
    return rows
