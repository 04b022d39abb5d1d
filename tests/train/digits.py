"""Handwritten digits of 8 x 8 pixels, and small networks for them: what the tests of training learn from."""

from __future__ import annotations

from functools import cache

import numpy as np

from edgewright.data import Data
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph
from edgewright.ops import Conv2D, Dense, Mean, Softmax
from edgewright.train.loop import train
from edgewright.train.module import from_module, to_module
from tests.conftest import need_module


def need_training() -> None:
    for module in ("accelerate", "torchmetrics", "safetensors"):
        need_module(module, "pip install 'edgewright[train]'")


@cache
def digit_images() -> tuple[Data, Data]:
    """1,200 images N x 8 x 8 x 1 to train on, 597 to test with."""
    need_module("sklearn", "pip install scikit-learn")
    from sklearn.datasets import load_digits

    found = load_digits()
    data = Data(((found.data / 16).astype(np.float32).reshape(-1, 8, 8, 1),), found.target.astype(np.int64))
    return data.take(slice(0, 1200)), data.take(slice(1200, None))


def digit_network(channels: int = 12, softmax: bool = True, seed: int = 0) -> Graph:
    """Two convolutions, the average of their outputs, a dense layer; untrained."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder("digits")
    x, before = b.input("x", (None, 8, 8, 1)), 1
    for name, stride in (("first", 1), ("second", 2)):
        weight = rng.normal(0, np.sqrt(2 / (9 * before)), (channels, 3, 3, before)).astype(np.float32)
        inputs = [x, b.constant(f"{name}.weight", weight), b.constant(f"{name}.bias", np.zeros(channels, np.float32))]
        x, before = b.node(Conv2D((stride, stride), ((1, 1), (1, 1)), activation="relu"), inputs, name=name), channels
    x = b.node(Mean((1, 2)), [x], name="pool")
    head = b.constant("head.weight", rng.normal(0, np.sqrt(1 / channels), (10, channels)).astype(np.float32))
    x = b.node(Dense(), [x, head, b.constant("head.bias", np.zeros(10, np.float32))], name="head")
    return b.finish([b.node(Softmax(), [x], name="softmax")] if softmax else [x])


@cache
def trained_digits() -> Graph:
    """:func:`digit_network`, trained to about 90 %."""
    module = to_module(digit_network())
    train(module, digit_images()[0], epochs=12, learning_rate=0.02, batch_size=50, cpu=True)
    return from_module(module)
