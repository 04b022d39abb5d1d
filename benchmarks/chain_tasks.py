"""What the chains are measured on: networks, the data that they learn and are judged by, and for how long they learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import nn

from benchmarks.cases import model_path
from benchmarks.data import cifar10, fashion_mnist, spoken_digits, ucr
from benchmarks.networks import resnet8
from benchmarks.pruning import normalized_resnet8
from edgewright.data import Data
from edgewright.train.distillation import Labels, Logits
from examples.train_spoken_digits import COEFFICIENTS, FRAMES, DigitNetwork, fixed_length, split

TERMS = (Logits(4.0), Labels(1.0))
"""What every network learns that is repaired: what the pass distill makes of labels = 1."""
IMAGES = 8_000
"""Training images of Fashion-MNIST."""


@dataclass(frozen=True)
class Task:
    """``network`` makes the float network of a seed, to be trained for ``float_epochs`` (0: it comes trained); ``normalized`` the same
    with batch norm in place. ``data``: training and test samples, channels-last. ``shape``: of one sample as torch has it."""

    name: str
    network: Callable[[int], nn.Module]
    normalized: Callable[[int], nn.Module]
    data: Callable[[], tuple[Data, Data]]
    shape: tuple[int, int, int]
    seeds: tuple[int, ...] = (0, 1, 2)
    float_epochs: int = 20
    epochs: int = 6
    quantized_epochs: int = 2
    rate: float = 5e-3
    pt2e_rate: float = 1e-3
    augment: str = "none"

    def example(self) -> torch.Tensor:
        """One sample of zeros, batch first."""
        return torch.zeros(1, *self.shape)


def _seeded(build: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
    def make(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return build()

    return make


def _block(channels: int, out: int, kernel: tuple[int, int], stride: tuple[int, int]) -> list[nn.Module]:
    pad = (kernel[0] // 2, kernel[1] // 2)
    return [nn.Conv2d(channels, out, kernel, stride, pad, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


def _fashion_network() -> nn.Module:
    """11,000 parameters: three 3x3 convolutions, a mean, a dense layer."""
    layers = [*_block(1, 16, (3, 3), (2, 2)), *_block(16, 24, (3, 3), (2, 2)), *_block(24, 32, (3, 3), (1, 1))]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def _ford_network() -> nn.Module:
    """12,000 parameters: four convolutions along time, a mean, a dense layer."""
    sizes = ((1, 16, 9), (16, 24, 7), (24, 32, 5), (32, 32, 5))
    layers = [layer for channels, out, kernel in sizes for layer in _block(channels, out, (kernel, 1), (2, 1))]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))


def _digit_network() -> nn.Module:
    network = DigitNetwork()
    network.dropout = nn.Dropout(0.0)  # PT2E changes the probability in silence
    return network


@cache
def _fashion() -> tuple[Data, Data]:
    found = fashion_mnist()
    train, test = ((array.astype(np.float32) / np.float32(255) - np.float32(0.286)) / np.float32(0.353)
                   for array in (found.train_inputs, found.test_inputs))  # fmt: skip
    chosen = np.random.default_rng(0).permutation(len(train))[:IMAGES]
    return Data((train[chosen],), found.train_labels[chosen]), Data((test,), found.test_labels)


@cache
def _digits() -> tuple[Data, Data]:
    """Training and validation utterances of the example together, and its test utterances."""
    utterances = spoken_digits()
    splits = split(utterances.labels)
    learned = np.concatenate([splits.train, splits.validation])
    owner = np.repeat(np.arange(len(utterances.lengths)), utterances.lengths)
    frames = utterances.frames[np.isin(owner, learned)]
    features = fixed_length(utterances, frames.mean(0), frames.std(0)).transpose(0, 2, 3, 1)
    parts = [Data((np.ascontiguousarray(features[rows]),), utterances.labels[rows]) for rows in (learned, splits.test)]
    return parts[0], parts[1]


@cache
def _ford() -> tuple[Data, Data]:
    found = ucr("FordA")
    train, test = (array[:, :, None].astype(np.float32) for array in (found.train_inputs, found.test_inputs))
    return Data((train,), found.train_labels), Data((test,), found.test_labels)


@cache
def _cifar() -> tuple[Data, Data]:
    found = cifar10()
    train = Data((found.train_inputs[:45_000].astype(np.float32),), found.train_labels[:45_000])
    return train, Data((found.test_inputs.astype(np.float32),), found.test_labels)


TASKS = (
    Task("spoken digits", _seeded(_digit_network), _seeded(_digit_network), _digits, (1, FRAMES, COEFFICIENTS)),
    Task("FordA", _seeded(_ford_network), _seeded(_ford_network), _ford, (1, 500, 1)),
    Task("Fashion-MNIST", _seeded(_fashion_network), _seeded(_fashion_network), _fashion, (1, 28, 28), float_epochs=15),
    Task("CIFAR-10, ResNet-8", lambda seed: resnet8(model_path("mlperf_tiny/ic_float.tflite")), lambda seed: normalized_resnet8(), _cifar,
         (3, 32, 32), seeds=(0,), float_epochs=0, epochs=1, quantized_epochs=1, augment="flip,shift"),
)  # fmt: skip
