"""Random networks with much to clean up: all exact passes, again and again until nothing changes, leave the outputs alone."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.ir.graph import Graph, Level
from edgewright.ir.operator import Operator
from edgewright.ir.verify import verify
from edgewright.ops import (
    Add,
    AveragePool2D,
    BatchNorm,
    Concat,
    Conv2D,
    HardSwish,
    MaxPool2D,
    Mean,
    Mul,
    Pad,
    Relu,
    Relu6,
    Requantize,
    Reshape,
    Resize,
    Slice,
    Sub,
    Transpose,
)
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.recipe import CLEAN
from tests.passes.check import Net, same_outputs

ACTIVATIONS = ("none", "relu", "relu6", "relu_n1_to_1")


class RandomNet(Net):
    """Grows a network one random operator after another; values are images, now and then with their axes in another order."""

    def __init__(self, level: Level, seed: int) -> None:
        super().__init__(level, seed)
        self.live = [self.enter("x", (None, 5, 6, 3))]
        for index in range(int(self.rng.integers(6, 16))):
            name = str(self.rng.choice(self.live[-3:]))
            ways = (self._layer, self._layer, self._depthwise, self._grouped, self._pointwise, self._binary, self._join, self._move,
                    self._scale, self._same)
            made = ways[self.rng.integers(len(ways))](name, f"n{index}")
            if made is not None:
                self.live.append(made)

    def pick(self, *options: str) -> str:
        return str(self.rng.choice(options))

    def some(self, count: int) -> list[int]:
        """A third of 0 … count-1."""
        return np.flatnonzero(self.rng.random(count) < 0.33).tolist()

    def _layer(self, x: str, name: str) -> str | None:
        shape = self.value(x).shape
        if min(int(size or 1) for size in shape[1:3]) < 3 or int(shape[3] or 0) > 24:
            return None
        outputs, kernel = int(self.rng.integers(1, 7)), int(self.rng.choice([1, 3]))
        padding, dead, unread = int(self.rng.integers(0, kernel)), self.some(outputs), self.some(int(shape[3] or 0))
        return self.conv(x, outputs, name, kernel, padding, self.pick(*ACTIVATIONS), dead, unread)

    def _depthwise(self, x: str, name: str) -> str | None:
        shape = self.value(x).shape
        multiplier = int(self.rng.integers(1, 3))
        if min(int(size or 1) for size in shape[1:3]) < 3 or int(shape[3] or 0) > 12:
            return None
        dead = self.some(int(shape[3] or 0) * multiplier)
        return self.depthwise(x, name, 3, int(self.rng.integers(0, 2)), multiplier, self.pick(*ACTIVATIONS), dead)

    def _grouped(self, x: str, name: str) -> str | None:
        shape = self.value(x).shape
        if int(shape[3] or 0) not in (4, 6, 8, 12):
            return None
        weight = self.numbers(6, 1, 1, int(shape[3] or 0) // 2)
        weight[self.some(6)] = 0
        return self.layer(Conv2D(groups=2, activation=self.pick(*ACTIVATIONS)), x, name, weight, self.biases(6))

    def _pointwise(self, x: str, name: str) -> str:
        op: Operator = (Relu(), Relu6(), HardSwish(), Requantize())[self.rng.integers(4)]
        return self.apply(op, [x], name, self.value(x).quant if self.rng.random() < 0.6 else self.quant(0.08, -9))

    def _binary(self, x: str, name: str) -> str | None:
        op = (Add, Sub, Mul)[self.rng.integers(3)](self.pick(*ACTIVATIONS))
        partners = [other for other in self.live if self.value(other).shape == self.value(x).shape]
        return self.apply(op, [x, str(self.rng.choice(partners))], name, self.quant(0.1, 2))

    def _scale(self, x: str, name: str) -> str:
        channels = int(self.value(x).shape[3] or 0)
        if not self.integer and self.rng.random() < 0.3:
            parts = [self.constant(f"{name}/{part}", np.abs(self.numbers(channels))) for part in ("scale", "offset", "mean", "variance")]
            return self.node(BatchNorm(), [x, *parts], name=name)
        op = (Add, Sub, Mul)[self.rng.integers(3)](self.pick(*ACTIVATIONS))
        constant = self.constant(f"{name}/constant", self.numbers(channels), quant=self.quant())
        return self.apply(op, [x, constant] if self.rng.random() < 0.7 else [constant, x], name, self.quant(0.1, 2))

    def _join(self, x: str, name: str) -> str | None:
        partners = [self.value(other) for other in self.live if self.value(other).quant == self.value(x).quant]
        other = str(self.rng.choice([value.name for value in partners if value.shape[:3] == self.value(x).shape[:3]]))
        return self.apply(Concat(3), [x, other] if int(self.value(x).shape[3] or 0) < 12 else [x], name)

    def _move(self, x: str, name: str) -> str | None:
        height, width, channels = (int(size or 1) for size in self.value(x).shape[1:])
        ops: list[Operator] = [Transpose((0, 2, 1, 3)), Transpose((0, 3, 1, 2)), Transpose((0, 2, 3, 1)), Transpose((0, 2, 3, 1))]
        ops.append(Pad(((0, 0), (1, 0), (0, 1), (0, 0)), value=float(self.rng.choice([0.0, 0.0, 0.5]))))
        if channels > 1:
            ops.append(Slice((0, 0, 0, 1), (None, height, width, channels - 1), (1, 1, 1, 1)))
        if min(height, width) > 2:
            ops += [MaxPool2D((3, 3), (1, 1), ((1, 1), (1, 1))), AveragePool2D((2, 2), (1, 1)), MaxPool2D((2, 2), (1, 1))]
        return self.apply(ops[self.rng.integers(len(ops))], [x], name)

    def _same(self, x: str, name: str) -> str:
        height, width, channels = (int(size or 1) for size in self.value(x).shape[1:])
        ops: list[Operator] = [Reshape((None, height, width, channels)), Reshape((None, width, height, channels))]
        ops += [Resize((height, width), "bilinear"), Mean((1,), keep_dims=True)]
        return self.apply(ops[self.rng.integers(len(ops))], [x], name)

    def end(self) -> Graph:
        """An output by a dense layer over everything, one by a mean, and one straight from within."""
        last = self.live[-1]
        flat = self.apply(Reshape((None, int(self.value(last).elements))), [last], "flat")
        outputs = [self.dense(flat, 3, "head")]
        if self.rng.random() < 0.5 and int(self.value(last).shape[3] or 0) <= 24:
            outputs.append(self.layer(Conv2D(), last, "tail", self.numbers(2, 1, 1, int(self.value(last).shape[3] or 0))))
        if self.rng.random() < 0.3:
            outputs.append(str(self.rng.choice(self.live[1:] or [outputs[0]])))
        return verify(self.finish(list(dict.fromkeys(outputs))))


def clean(graph: Graph) -> Graph:
    """All exact passes until nothing changes; each is compared with what it was given."""
    passes = load_passes()
    for _ in range(8):
        before = graph
        for name in CLEAN:
            if passes[name].takes(graph.level):
                after = passes[name].function(graph, Context())
                if after is not graph:
                    same_outputs(graph, after)
                graph = after
        if graph is before:
            return graph
    raise AssertionError("the clean-up never ends")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("level", [Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def test_a_random_network(level: Level, seed: int) -> None:
    graph = RandomNet(level, seed).end()
    same_outputs(graph, clean(graph))
