from __future__ import annotations

import math

import numpy as np
import pytest

from edgewright.analysis.bounds import value_bounds
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Level
from edgewright.ir.operator import Operator
from edgewright.ops import (
    Add,
    AveragePool2D,
    Concat,
    Conv2D,
    HardSigmoid,
    LogSoftmax,
    MaxPool2D,
    Mean,
    Mul,
    Pad,
    Relu,
    Relu6,
    Requantize,
    Reshape,
    Sigmoid,
    Softmax,
    Sub,
    Tanh,
)
from edgewright.ops.evaluate import evaluate
from tests.passes.check import Net, random_inputs

INF = math.inf


@pytest.mark.parametrize(("op", "expected"), [
    (Relu(), (0, INF)), (Relu6(), (0, 6)), (Sigmoid(), (0, 1)), (HardSigmoid(), (0, 1)), (Tanh(), (-1, 1)), (Softmax(), (0, 1)),
    (LogSoftmax(), (-INF, 0)), (Conv2D(), (-INF, INF)), (Conv2D(activation="relu_n1_to_1"), (-1, 1)), (Reshape((None, 48)), (-INF, INF)),
    (MaxPool2D(activation="relu6"), (0, 6)),
], ids=repr)
def test_of_single_operators(op: Operator, expected: tuple[float, float]) -> None:
    net = Net()
    x = net.enter("x", (None, 4, 4, 3))
    inputs = [x, net.constant("w", net.numbers(2, 1, 1, 3))] if isinstance(op, Conv2D) else [x]
    assert value_bounds(net.finish([net.apply(op, inputs, "y")]))["y"] == expected


def test_they_travel() -> None:
    net = Net()
    x = net.enter("x", (None, 4, 4, 3))
    low = net.apply(Relu6(), [x], "low")
    high = net.apply(Add(), [low, net.constant("ten", np.full(3, 10, np.float32))], "high")
    joined = net.apply(Concat(3), [low, high], "joined")
    padded = net.apply(Pad(((0, 0), (1, 1), (0, 0), (0, 0)), value=-2.0), [joined], "padded")
    pooled = net.apply(AveragePool2D(), [padded], "pooled")
    difference = net.apply(Sub(), [pooled, pooled], "difference")
    product = net.apply(Mul(), [difference, difference], "product")
    mean = net.apply(Mean(), [low], "mean")
    bounds = value_bounds(net.finish([product, mean]))
    assert bounds["high"] == (10, 16) and bounds["joined"] == (0, 16) and bounds["padded"] == bounds["pooled"] == (-2, 16)
    assert bounds["difference"] == (-18, 18) and bounds["product"] == (-324, 324) and bounds["mean"] == (0, 6)


def test_integers_never_leave_them() -> None:
    net = Net(Level.INTEGER)
    x = net.enter("x", (None, 4, 4, 3))
    y = net.conv(x, 4, "conv", activation="relu6")
    low = net.apply(Relu(), [x], "relu", quant=Quant.per_tensor(0.05, -128))
    other = net.apply(Requantize(), [low], "requantized", quant=Quant.per_tensor(0.1, 10))
    tanh = net.apply(Tanh(), [other], "tanh", quant=Quant.per_tensor(1 / 128, 0))
    pooled = net.apply(MaxPool2D(), [net.apply(Pad(((0, 0), (1, 1), (1, 1), (0, 0)), value=-0.5), [y], "padded")], "pooled")
    graph = net.finish([y, other, tanh, pooled])
    bounds = value_bounds(graph)
    # x reaches 124 * 0.05 = 6.2 above its zero point.
    assert bounds["relu"] == (-128, -4) and bounds["requantized"] == (10, 72) and bounds["tanh"] == (0, 127) and bounds["conv"] == (3, 123)
    assert bounds["pooled"] == (-7, 123)
    for name, array in zip(graph.outputs, evaluate(graph, random_inputs(graph, samples=50)), strict=True):
        assert bounds[name][0] <= array.min() and array.max() <= bounds[name][1]
