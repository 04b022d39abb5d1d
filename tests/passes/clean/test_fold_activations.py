from __future__ import annotations

import pytest

from edgewright.ir.graph import Level
from edgewright.ops import Add, AveragePool2D, Concat, HardSwish, MaxPool2D, Relu, Relu6, Reshape, Transpose
from tests.passes.check import Net, apply, kinds, unchanged


@pytest.fixture(params=[Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


def activations(graph: object) -> list[str]:
    return [getattr(node.op, "activation", "-") for node in graph.nodes]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("op", "activation"), [(Relu(), "relu"), (Relu6(), "relu6")])
def test_into_a_convolution(net: Net, op: Relu | Relu6, activation: str) -> None:
    y = net.conv(net.enter("x", (None, 5, 5, 3)), 4, "conv", kernel=3)
    graph = net.finish([net.apply(op, [y], "act", quant=net.value(y).quant)])
    after, _ = apply("fold_activations", graph)
    assert kinds(after) == ["Conv2D"] and activations(after) == [activation] and after.outputs == ("act",)


def test_into_additions_and_pooling(net: Net) -> None:
    x = net.enter("x", (None, 4, 4, 3))
    total = net.apply(Add(), [x, x], "sum")
    total = net.apply(Relu(), [total], "relu", quant=net.value(total).quant)
    pooled = net.apply(MaxPool2D(), [total], "max")
    pooled = net.apply(Relu6(), [pooled], "relu6", quant=net.value(pooled).quant)
    graph = net.finish([net.apply(AveragePool2D(), [pooled], "average")])
    after, _ = apply("fold_activations", graph)
    assert kinds(after) == ["Add", "MaxPool2D", "AveragePool2D"] and activations(after) == ["relu", "relu6", "none"]


def test_two_rectifiers_become_the_narrower(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 5, 5, 3)), 4, "conv")
    y = net.apply(Relu6(), [y], "first", quant=net.value(y).quant)
    y = net.apply(Relu(), [y], "second", quant=net.value(y).quant)
    after, _ = apply("fold_activations", net.finish([net.apply(Relu6(), [y], "third", quant=net.value(y).quant)]))
    assert kinds(after) == ["Conv2D"] and activations(after) == ["relu6"]


def test_across_reshape_and_transpose(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 2, "conv")
    y = net.apply(Transpose((0, 3, 1, 2)), [y], "turned")
    y = net.apply(Reshape((None, 32)), [y], "flat")
    graph = net.finish([net.apply(Relu(), [y], "relu", quant=net.value(y).quant)])
    after, _ = apply("fold_activations", graph)
    assert kinds(after) == ["Conv2D", "Transpose", "Reshape"] and activations(after) == ["relu", "-", "-"]


def test_others_that_read_the_sum_keep_it(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 3, "conv")
    z = net.apply(Relu(), [y], "relu", quant=net.value(y).quant)
    unchanged("fold_activations", net.finish([net.apply(Add(), [y, z], "sum")]))
    net = Net(net.level)
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 3, "conv")
    unchanged("fold_activations", net.finish([net.apply(Relu(), [y], "relu", quant=net.value(y).quant), y]))


def test_not_across_what_computes(net: Net) -> None:
    x = net.enter("x", (None, 4, 4, 3))
    y = net.apply(HardSwish(), [net.conv(x, 3, "conv")], "swish")
    y = net.apply(Concat(3), [y], "joined")
    unchanged("fold_activations", net.finish([net.apply(Relu(), [y], "relu", quant=net.value(y).quant)]))


def test_not_behind_another_clamp(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 3, "conv", activation="relu_n1_to_1")
    unchanged("fold_activations", net.finish([net.apply(Relu(), [y], "relu", quant=net.value(y).quant)]))


def test_a_rectifier_that_changes_the_scale_stays() -> None:
    net = Net(Level.INTEGER)
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 3, "conv")
    ctx = unchanged("fold_activations", net.finish([net.apply(Relu(), [y], "relu", quant=net.quant(0.03, -128))]))
    assert [line.action for line in ctx.lines] == ["skipped"] and "bytes" in ctx.lines[0].detail


def test_a_state_keeps_the_sum() -> None:
    net = Net()
    x = net.enter("x", (None, 1, 1, 2))
    past = net.state("past", (None, 1, 1, 2), net.constant("initial", net.numbers(1, 1, 1, 2)))
    total = net.apply(Add(), [x, past], "sum")
    net.write_state(past, total)
    unchanged("fold_activations", net.finish([net.apply(Relu(), [total], "relu")]))
