"""Pretrained networks of ImageNet with a head for CIFAR-10: real labels for what quantization costs them."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import edgewright
from benchmarks.data import cifar10
from benchmarks.networks import efficientnet_inputs, efficientnet_lite0, imagenet_inputs, mobilenet_v2
from edgewright.data import Data
from edgewright.ir.graph import Graph

SIZE = 96
TRAINED = 3000
"""Training images that the head is fitted on: the first of CIFAR-10."""
DECAY = 1e-2


@cache
def transferred(name: str) -> Graph:
    """``name`` (mobilenet_v2, efficientnet_lite0) at 96 x 96, its last layer fitted to CIFAR-10 by logistic regression; floats."""
    module = (mobilenet_v2 if name == "mobilenet_v2" else efficientnet_lite0)()
    cifar = cifar10()
    head = nn.Linear(1280, 10)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    part = "classifier" if name == "mobilenet_v2" else "_fc"
    setattr(module, part, nn.Identity())
    with torch.inference_mode():
        parts = [module(_channels_first(name, cifar.train_inputs[start : start + 50])) for start in range(0, TRAINED, 50)]
    features, labels = torch.cat(parts).clone(), torch.from_numpy(cifar.train_labels[:TRAINED])
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(head(features), labels) + DECAY / 2 * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    setattr(module, part, head)
    return edgewright.load(module, (torch.zeros(1, 3, SIZE, SIZE),))


def samples(name: str, images: npt.NDArray[np.generic], labels: npt.NDArray[np.int64] | None = None) -> Data:
    """CIFAR-10 ``images``, enlarged, as network ``name`` takes them."""
    small = torch.from_numpy(np.asarray(images, np.float32)).permute(0, 3, 1, 2)
    large = nn.functional.interpolate(small, (SIZE, SIZE), mode="bilinear").permute(0, 2, 3, 1).numpy().round().astype(np.uint8)
    return Data(((imagenet_inputs if name == "mobilenet_v2" else efficientnet_inputs)(large),), labels)


def _channels_first(name: str, images: npt.NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(samples(name, images).inputs[0]).permute(0, 3, 1, 2)
