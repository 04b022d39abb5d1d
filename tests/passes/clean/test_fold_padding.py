from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Level
from edgewright.ops import AveragePool2D, Conv2D, MaxPool2D, Pad, TransposeConv2D
from tests.passes.check import Net, apply, kinds, unchanged

SPATIAL = ((0, 0), (1, 2), (0, 1), (0, 0))


@pytest.fixture(params=[Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


def test_into_convolutions(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(net.apply(Pad(SPATIAL), [x], "pad"), 4, "conv", kernel=3, padding=1)
    z = net.depthwise(net.apply(Pad(SPATIAL), [y], "again"), "depthwise")
    after, _ = apply("fold_padding", net.finish([z]))
    assert kinds(after) == ["Conv2D", "DepthwiseConv2D"]
    assert [node.op.attributes()["padding"] for node in after.nodes] == [((2, 3), (1, 2)), ((1, 2), (0, 1))]


def test_several_readers_each_take_it(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    padded = net.apply(Pad(SPATIAL), [x], "pad")
    graph = net.finish([net.conv(padded, 4, "one", kernel=3), net.apply(AveragePool2D(), [padded], "average"), net.conv(padded, 2, "two")])
    after, _ = apply("fold_padding", graph)
    assert sorted(kinds(after)) == ["AveragePool2D", "Conv2D", "Conv2D", "Pad"]


@pytest.mark.parametrize("pad", [
    Pad(SPATIAL, value=1.0), Pad(((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect"), Pad(((0, 0), (1, 1), (1, 1), (0, 1))),
])
def test_other_paddings_stay(net: Net, pad: Pad) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    ctx = unchanged("fold_padding", net.finish([net.conv(net.apply(pad, [x], "pad"), 4, "conv", kernel=3)]))
    assert [line.action for line in ctx.lines] == ["skipped"]


def test_not_into_operators_whose_padding_means_something_else(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    pooled = net.apply(AveragePool2D(), [net.apply(Pad(((0, 0), (1, 1), (1, 1), (0, 0))), [x], "pad")], "average")
    padded = net.apply(Pad(SPATIAL), [pooled], "again")
    unchanged("fold_padding", net.finish([net.layer(TransposeConv2D((2, 2)), padded, "transposed", net.numbers(2, 3, 3, 3))]))


def test_into_maximum_pooling_of_what_is_never_negative(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 6, 6, 3)), 4, "conv", activation="relu")
    padded = net.apply(Pad(((0, 0), (1, 1), (1, 1), (0, 0))), [y], "pad")
    after, _ = apply("fold_padding", net.finish([net.apply(MaxPool2D((3, 3), (2, 2)), [padded], "max")]))
    assert kinds(after) == ["Conv2D", "MaxPool2D"]


def test_not_into_maximum_pooling_of_negative_numbers(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 6, 6, 3)), 4, "conv")
    padded = net.apply(Pad(((0, 0), (1, 1), (1, 1), (0, 0))), [y], "pad")
    unchanged("fold_padding", net.finish([net.apply(MaxPool2D((3, 3), (2, 2)), [padded], "max")]))


def test_not_into_pooling_windows_that_see_nothing_else(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 6, 6, 3)), 4, "conv", activation="relu")
    padded = net.apply(Pad(((0, 0), (2, 2), (2, 2), (0, 0))), [y], "pad")
    ctx = unchanged("fold_padding", net.finish([net.apply(MaxPool2D((2, 2), (2, 2)), [padded], "max")]))
    assert "nothing but padding" in ctx.lines[0].detail


def test_padding_with_minus_infinity_is_what_pooling_does() -> None:
    net = Net()
    x = net.enter("x", (None, 6, 6, 3))
    padded = net.apply(Pad(((0, 0), (1, 1), (1, 1), (0, 0)), value=float("-inf")), [x], "pad")
    after, _ = apply("fold_padding", net.finish([net.apply(MaxPool2D((3, 3), (2, 2)), [padded], "max")]))
    assert kinds(after) == ["MaxPool2D"]


def test_a_value_that_rounds_to_the_zero_point_is_zero() -> None:
    net = Net(Level.INTEGER)
    x = net.enter("x", (None, 6, 6, 3))
    padded = net.apply(Pad(SPATIAL, value=0.01), [x], "pad")
    after, _ = apply("fold_padding", net.finish([net.conv(padded, 4, "conv", kernel=3)]))
    assert kinds(after) == ["Conv2D"]


def test_a_padded_output_keeps_its_name(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    padded = net.apply(Pad(SPATIAL), [x], "pad")
    after, _ = apply("fold_padding", net.finish([padded, net.conv(padded, 2, "conv", kernel=3)]))
    assert kinds(after) == ["Pad", "Conv2D"] and after.nodes[1].inputs[0] == "x"


def test_strides_and_dilation_are_no_obstacle() -> None:
    net = Net()
    x = net.enter("x", (None, 9, 9, 3))
    padded = net.apply(Pad(SPATIAL), [x], "pad")
    conv = net.layer(Conv2D((2, 2), dilation=(2, 2)), padded, "conv", net.numbers(4, 3, 3, 3), np.zeros(4, np.float32))
    graph = net.finish([conv])
    after, _ = apply("fold_padding", graph)
    assert after.nodes[0].op == dataclasses.replace(graph.nodes[1].op, padding=((1, 2), (0, 1)))  # type: ignore[call-arg]
    assert rebuild(after) == after
