from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgewright.ir.graph import Level
from edgewright.ir.operator import Operator
from edgewright.ops import (
    Add,
    AveragePool2D,
    Concat,
    LeakyRelu,
    MaxPool2D,
    Mean,
    Mul,
    Pad,
    PRelu,
    Relu,
    Relu6,
    Requantize,
    Reshape,
    Resize,
    Sigmoid,
    Slice,
    Softmax,
    Sub,
    Transpose,
)
from tests.passes.check import Net, apply, kinds, unchanged

NOTHING = ((0, 0), (0, 0), (0, 0), (0, 0))


@pytest.fixture(params=[Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


@pytest.mark.parametrize("op", [
    Reshape((None, 4, 4, 3)), Pad(NOTHING), Pad(NOTHING, value=2.0), Pad(NOTHING, mode="reflect"), Concat(3), Transpose((0, 1, 2, 3)),
    Slice((0, 0, 0, 0), (None, 4, 4, 3), (1, 1, 1, 1)), Resize((4, 4)), Resize((4, 4), mode="bilinear"),
    Resize((4, 4), mode="bilinear", align_corners=True), Resize((4, 4), mode="bilinear", half_pixel_centers=True),
    MaxPool2D((1, 1), (1, 1)), AveragePool2D((1, 1), (1, 1)),
], ids=repr)
def test_what_changes_nothing_goes(net: Net, op: Operator) -> None:
    x = net.conv(net.enter("x", (None, 4, 4, 3)), 3, "before")
    y = net.apply(op, [x], "same")
    after, ctx = apply("remove_identities", net.finish([net.conv(y, 2, "behind")]))
    assert kinds(after) == ["Conv2D", "Conv2D"] and ctx.lines[0].where == "same"


@pytest.mark.parametrize("op", [
    Reshape((None, 16, 3)), Pad(((0, 0), (0, 0), (0, 1), (0, 0))), Transpose((0, 2, 1, 3)), Resize((4, 5)), MaxPool2D((1, 1), (2, 2)),
    Slice((0, 1, 0, 0), (None, 3, 4, 3), (1, 1, 1, 1)), MaxPool2D((1, 1), (1, 1), activation="relu"), AveragePool2D((2, 2), (1, 1)),
], ids=repr)
def test_what_changes_something_stays(net: Net, op: Operator) -> None:
    x = net.conv(net.enter("x", (None, 4, 4, 3)), 3, "before")
    unchanged("remove_identities", net.finish([net.apply(op, [x], "other")]))


def test_chains_vanish_as_a_whole(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 3, "before")
    for index in range(4):
        y = net.apply((Concat(3), Reshape((None, 4, 4, 3)))[index % 2], [y], f"same{index}")
    after, _ = apply("remove_identities", net.finish([y]))
    assert kinds(after) == ["Conv2D"] and after.outputs == ("same3",)


def test_an_output_keeps_its_name(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 3, "before")
    graph = net.finish([net.apply(Concat(3), [y], "answer"), net.conv(y, 2, "other")])
    after, _ = apply("remove_identities", graph)
    assert after.outputs == ("answer", "other") and after.producers["answer"].op.kind == "Conv2D"


def test_an_output_that_is_an_input_stays_a_copy(net: Net) -> None:
    x = net.enter("x", (None, 4, 4, 3))
    unchanged("remove_identities", net.finish([net.apply(Concat(3), [x], "answer")]))


def test_two_outputs_of_one_value_stay_two(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 4, 4, 3)), 3, "before")
    first, second = net.apply(Concat(3), [y], "first"), net.apply(Reshape((None, 4, 4, 3)), [y], "second")
    after, _ = apply("remove_identities", net.finish([first, second]))
    assert after.outputs == ("first", "second") and len(after.nodes) == 2


def test_a_state_is_written_without_a_copy(net: Net) -> None:
    x = net.enter("x", (None, 1, 1, 3))
    y = net.conv(x, 3, "conv")
    kind = net.numbers(1, 1, 1, 3)
    past = net.state("past", (None, 1, 1, 3), net.constant("initial", kind, quant=net.quant()), net.value(x).dtype, net.value(y).quant)
    net.write_state(past, net.apply(Concat(3), [y], "copy"))
    after, _ = apply("remove_identities", net.finish([net.apply(Add(), [past, x], "sum")]), calls=3)
    assert kinds(after) == ["Add", "Conv2D"] or kinds(after) == ["Conv2D", "Add"]


def test_a_mean_of_single_elements_is_a_reshape(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 1, 1, 3)), 4, "conv")
    graph = net.finish([net.apply(Mean((1, 2)), [y], "mean", quant=net.value(y).quant)])
    after, _ = apply("remove_identities", graph)
    assert kinds(after) == ["Conv2D", "Reshape"]
    net = Net(net.level)
    y = net.conv(net.enter("x", (None, 1, 1, 3)), 4, "conv")
    after, _ = apply("remove_identities", net.finish([net.apply(Mean((1, 2), keep_dims=True), [y], "mean", quant=net.value(y).quant)]))
    assert kinds(after) == ["Conv2D"]


def test_a_mean_that_changes_the_scale_stays() -> None:
    net = Net(Level.INTEGER)
    y = net.conv(net.enter("x", (None, 1, 1, 3)), 4, "conv")
    unchanged("remove_identities", net.finish([net.apply(Mean((1, 2)), [y], "mean", quant=net.quant(0.1, 0))]))


@pytest.mark.parametrize(("op", "number", "first"), [
    (Add(), 0.0, True), (Add(), 0.0, False), (Sub(), 0.0, True), (Mul(), 1.0, True), (Mul(), 1.0, False),
])
def test_neutral_constants(op: Operator, number: float, first: bool) -> None:
    net = Net()
    x = net.enter("x", (None, 2, 2, 3))
    c = net.constant("c", np.full((1, 1, 3), number, np.float32))
    y = net.apply(op, [x, c] if first else [c, x], "y")
    after, _ = apply("remove_identities", net.finish([net.conv(y, 2, "conv")]))
    assert kinds(after) == ["Conv2D"]


def test_constants_that_are_not_neutral() -> None:
    for op, number, first in ((Add(), 1.0, True), (Mul(), 0.0, True), (Sub(), 0.0, False), (Add("relu"), 0.0, True)):
        net = Net()
        x = net.enter("x", (None, 2, 2, 3))
        c = net.constant("c", np.full(3, number, np.float32))
        unchanged("remove_identities", net.finish([net.conv(net.apply(op, [x, c] if first else [c, x], "y"), 2, "conv")]))


def test_a_neutral_constant_that_broadcasts_stays() -> None:
    net = Net()
    x = net.enter("x", (None, 1, 1, 3))
    y = net.apply(Add(), [x, net.constant("c", np.zeros((1, 2, 2, 3), np.float32))], "y")
    unchanged("remove_identities", net.finish([y]))


Before = Callable[[Net, str], str]
NEVER_NEGATIVE: dict[str, Before] = {
    "fused": lambda net, x: net.conv(x, 3, "conv", activation="relu"),
    "relu6": lambda net, x: net.apply(Relu6(), [x], "clamp", quant=net.value(x).quant),
    "pooled": lambda net, x: net.apply(MaxPool2D(), [net.conv(x, 3, "conv", activation="relu")], "max"),
    "padded": lambda net, x: net.apply(Pad(((0, 0), (1, 1), (1, 1), (0, 0))), [net.conv(x, 3, "conv", activation="relu")], "pad"),
    "joined": lambda net, x: net.apply(Concat(3), [net.conv(x, 3, f"conv{i}", activation="relu") for i in range(2)], "joined"),
}


@pytest.mark.parametrize("before", NEVER_NEGATIVE.values(), ids=NEVER_NEGATIVE)
def test_a_rectifier_of_what_is_never_negative(net: Net, before: Before) -> None:
    y = before(net, net.enter("x", (None, 4, 4, 3)))
    z = net.apply(Relu(), [y], "relu", quant=net.value(y).quant)
    after, _ = apply("remove_identities", net.finish([net.conv(z, 2, "behind")]))
    assert "Relu" not in kinds(after)


def test_float_bounds_of_other_operators() -> None:
    for op in (Softmax(), Sigmoid()):
        for clamp in (Relu(), Relu6(), LeakyRelu(0.1)):
            net = Net()
            y = net.apply(clamp, [net.apply(op, [net.enter("x", (None, 5))], "before")], "clamp")
            after, _ = apply("remove_identities", net.finish([y]))
            assert kinds(after) == [op.kind]
    net = Net()
    y = net.apply(Relu(), [net.enter("x", (None, 2, 2, 3))], "relu")
    y = net.apply(PRelu(), [y, net.constant("alpha", net.numbers(3))], "prelu")
    assert kinds(apply("remove_identities", net.finish([y]))[0]) == ["Relu"]


def test_rectifiers_that_do_something(net: Net) -> None:
    x = net.enter("x", (None, 4, 4, 3))
    y = net.conv(x, 3, "conv", activation="relu")
    z = net.apply(Relu6(), [y], "relu6", quant=net.quant(0.2, -20) if net.integer else None)
    unchanged("remove_identities", net.finish([net.apply(Relu(), [x], "relu", quant=net.value(x).quant), z]))


def test_requantization() -> None:
    net = Net(Level.INTEGER)
    x = net.enter("x", (None, 4, 4, 3))
    same = net.apply(Requantize(), [x], "same", quant=net.value(x).quant)
    other = net.apply(Requantize(), [same], "other", quant=net.quant(0.04, 3))
    after, _ = apply("remove_identities", net.finish([net.conv(other, 2, "conv")]))
    assert kinds(after) == ["Requantize", "Conv2D"]
