from __future__ import annotations

import pytest

from edgewright.ir.graph import Level
from edgewright.ops import Add, HardSwish, MaxPool2D, Relu
from tests.passes.check import Net, apply, kinds, unchanged


@pytest.fixture(params=[Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


def test_equal_chains_are_computed_once(net: Net) -> None:
    x = net.enter("x", (None, 4, 4, 3))
    ends = [net.apply(HardSwish(), [net.apply(MaxPool2D(), [x], f"max{i}")], f"swish{i}") for i in range(3)]
    total = net.apply(Add(), [net.apply(Add(), ends[:2], "one"), ends[2]], "two")
    after, ctx = apply("share_nodes", net.finish([total]))
    assert kinds(after) == ["MaxPool2D", "HardSwish", "Add", "Add"]
    assert [line.detail for line in ctx.lines] == ["computes the same as 'max0'", "computes the same as 'swish0'"] * 2


def test_outputs_keep_their_names(net: Net) -> None:
    x = net.enter("x", (None, 4))
    one, two = net.apply(HardSwish(), [x], "one"), net.apply(HardSwish(), [x], "two")
    after, _ = apply("share_nodes", net.finish([net.apply(Add(), [one, two], "sum"), two]))
    assert kinds(after) == ["HardSwish", "Add"] and after.outputs == ("sum", "two")
    net = Net(net.level)
    x = net.enter("x", (None, 4))
    unchanged("share_nodes", net.finish([net.apply(HardSwish(), [x], "one"), net.apply(HardSwish(), [x], "two")]))


def test_other_attributes_inputs_and_scales(net: Net) -> None:
    x = net.enter("x", (None, 4, 4, 3))
    nodes = [net.apply(MaxPool2D(), [x], "a"), net.apply(MaxPool2D(activation="relu"), [x], "b"), net.apply(Add(), [x, x], "c")]
    if net.integer:
        nodes += [net.apply(Relu(), [x], "d", quant=net.quant(0.1, 1)), net.apply(Relu(), [x], "e", quant=net.quant(0.2, 1))]
    unchanged("share_nodes", net.finish(nodes))
