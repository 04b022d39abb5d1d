from __future__ import annotations

import numpy as np
import pytest

from edgewright.ir.graph import Level
from edgewright.ops import Add, Concat, Mul, Resize, Transpose
from tests.passes.check import Net, apply, kinds, unchanged


@pytest.fixture(params=[Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


def constant(net: Net, name: str, *size: int) -> str:
    return net.constant(name, net.numbers(*size), quant=net.quant())


def test_chains_of_constants_are_computed(net: Net) -> None:
    x = net.enter("x", (None, 4))
    first = net.apply(Add("relu"), [constant(net, "a", 1, 4), constant(net, "b", 1, 4)], "first")
    second = net.apply(Mul(), [first, constant(net, "c", 4)], "second", quant=net.quant(0.7, -5))
    graph = net.finish([net.apply(Add(), [x, second], "sum")])
    after, ctx = apply("fold_constants", graph)
    assert kinds(after) == ["Add"] and set(after.constants) == {"second"}
    assert after.value("second").quant == graph.value("second").quant
    assert [line.where for line in ctx.lines] == ["first", "second"]


def test_a_transposed_weight_is_turned_beforehand(net: Net) -> None:
    x = net.enter("x", (None, 4, 4, 3))
    turned = net.apply(Transpose((0, 2, 3, 1)), [constant(net, "c", 1, 3, 4, 4)], "turned")
    graph = net.finish([net.apply(Mul(), [x, turned], "product")])
    after, _ = apply("fold_constants", graph)
    assert kinds(after) == ["Mul"] and after.array("turned").shape == (1, 4, 4, 3)


def test_results_that_only_grow_stay_computed() -> None:
    net = Net()
    x = net.enter("x", (None, 8, 8, 2))
    large = net.apply(Resize((8, 8)), [net.constant("c", net.numbers(1, 2, 2, 2))], "large")
    graph = net.finish([net.apply(Add(), [x, large], "sum")])
    ctx = unchanged("fold_constants", graph, largest_bytes=100)
    assert [line.action for line in ctx.lines] == ["skipped"]
    assert kinds(apply("fold_constants", graph)[0]) == ["Add"]


def test_outputs_stay_computed() -> None:
    net = Net()
    x = net.enter("x", (None, 3))
    y = net.apply(Add(), [net.constant("a", np.ones(3, np.float32)), net.constant("b", np.ones(3, np.float32))], "y")
    unchanged("fold_constants", net.finish([net.apply(Add(), [x, y], "z"), y]))


def test_data_keeps_a_node_alive(net: Net) -> None:
    x = net.enter("x", (1, 2, 2, 3))
    graph = net.finish([net.apply(Concat(3), [x, constant(net, "c", 1, 2, 2, 1)], "joined")])
    unchanged("fold_constants", graph)
