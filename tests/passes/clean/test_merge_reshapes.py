from __future__ import annotations

import pytest

from edgewright.ir.graph import Level
from edgewright.ops import Relu, Reshape
from tests.passes.check import Net, apply, kinds, unchanged


@pytest.fixture(params=[Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


def test_a_chain_becomes_one(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 2, "conv")
    for index, target in enumerate([(None, 16, 2), (None, 2, 16), (None, 32)]):
        y = net.apply(Reshape(target), [y], f"reshape{index}")
    after, _ = apply("merge_reshapes", net.finish([net.dense(y, 3, "dense")]))
    assert kinds(after) == ["Conv2D", "Reshape", "Dense"]


def test_there_and_back_is_left_for_the_removal_of_identities(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 2, "conv")
    y = net.apply(Reshape((None, 4, 4, 2)), [net.apply(Reshape((None, 32)), [y], "flat")], "back")
    after, _ = apply("merge_reshapes", net.finish([net.conv(y, 3, "last")]))
    assert kinds(apply("remove_identities", after)[0]) == ["Conv2D", "Conv2D"]


def test_a_value_between_that_others_read_stays(net: Net) -> None:
    y = net.apply(Reshape((None, 6)), [net.enter("x", (None, 2, 3))], "flat")
    graph = net.finish([net.apply(Reshape((None, 3, 2)), [y], "turned"), net.apply(Relu(), [y], "relu"), y])
    after, _ = apply("merge_reshapes", graph)
    assert [node.inputs for node in after.nodes] == [("x",), ("x",), ("flat",)]


def test_nothing_to_merge(net: Net) -> None:
    y = net.apply(Reshape((None, 6)), [net.enter("x", (None, 2, 3))], "flat")
    y = net.apply(Relu(), [y], "relu", quant=net.value(y).quant)
    unchanged("merge_reshapes", net.finish([net.apply(Reshape((None, 3, 2)), [y], "turned")]))
