from __future__ import annotations

import numpy as np
import pytest

from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Level, Structure
from edgewright.ops import Conv2D, DepthwiseConv2D
from tests.passes.check import Net, apply, kinds, unchanged


@pytest.fixture(params=[Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_a_group_for_each_channel(net: Net, multiplier: int) -> None:
    x = net.enter("x", (None, 7, 7, 4))
    op = Conv2D((2, 1), ((1, 0), (1, 1)), (1, 2), 4, "relu")
    graph = net.finish([net.layer(op, x, "conv", net.numbers(4 * multiplier, 3, 3, 1), net.biases(4 * multiplier))])
    after, _ = apply("specialize_convolutions", graph)
    assert after.nodes[0].op == DepthwiseConv2D((2, 1), ((1, 0), (1, 1)), (1, 2), multiplier, "relu") and after.constants == graph.constants


def test_a_depthwise_convolution_over_one_channel(net: Net) -> None:
    x = net.enter("x", (None, 9, 6, 1))
    after, _ = apply("specialize_convolutions", net.finish([net.depthwise(x, "depthwise", multiplier=8, padding=1, activation="relu")]))
    assert after.nodes[0].op == Conv2D(padding=((1, 1), (1, 1)), activation="relu")


def test_others_stay(net: Net) -> None:
    x = net.enter("x", (None, 7, 7, 4))
    y = net.layer(Conv2D(groups=2), x, "grouped", net.numbers(4, 3, 3, 2))
    y = net.conv(net.depthwise(y, "depthwise", multiplier=2), 1, "conv")
    unchanged("specialize_convolutions", net.finish([net.depthwise(y, "single")]))


def test_a_convolution_of_single_pixels_is_dense() -> None:
    net = Net()
    x = net.enter("x", (None, 1, 1, 5))
    graph = net.finish([net.conv(x, 3, "conv", activation="relu")])
    mask = np.ones((3, 1, 1, 5), bool)
    graph = rebuild(graph, constants={"conv/weight": Constant(graph.array("conv/weight"), Structure(mask=mask, pattern=(4, 4)))})
    after, _ = apply("specialize_convolutions", graph)
    structure = after.constants["conv/weight"].structure
    assert kinds(after) == ["Dense"] and structure is not None and structure.mask is not None
    assert structure.mask.shape == after.value("conv/weight").shape == (3, 5) and structure.pattern == (4, 4)


def test_single_pixels_at_the_integer_level_and_larger_images_stay() -> None:
    net = Net(Level.INTEGER)
    unchanged("specialize_convolutions", net.finish([net.conv(net.enter("x", (None, 1, 1, 5)), 3, "conv")]))
    net = Net()
    unchanged("specialize_convolutions", net.finish([net.conv(net.enter("x", (None, 1, 2, 5)), 3, "conv")]))
    net = Net()
    unchanged("specialize_convolutions", net.finish([net.conv(net.enter("x", (None, 1, 1, 5)), 3, "conv", kernel=3, padding=1)]))
