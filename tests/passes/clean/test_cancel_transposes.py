from __future__ import annotations

import numpy as np
import pytest

from edgewright.ir.graph import Level
from edgewright.ops import Add, Concat, HardSwish, LogSoftmax, Mean, Mul, Pad, Relu, Reshape, Slice, Softmax, Transpose
from tests.passes.check import Net, apply, kinds, shape, unchanged

FIRST = Transpose((0, 3, 1, 2))
LAST = Transpose((0, 2, 3, 1))


@pytest.fixture(params=[Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


def test_an_inverse_pair(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 4, 5, 3)), 2, "conv")
    y = net.apply(LAST, [net.apply(FIRST, [y], "there")], "back")
    after, _ = apply("cancel_transposes", net.finish([net.conv(y, 3, "last")]))
    assert kinds(after) == ["Conv2D", "Conv2D"]


def test_two_in_a_row_become_one(net: Net) -> None:
    y = net.apply(FIRST, [net.enter("x", (None, 4, 5, 3))], "one")
    after, _ = apply("cancel_transposes", net.finish([net.apply(Transpose((0, 1, 3, 2)), [y], "two")]))
    assert kinds(after) == ["Transpose"] and after.nodes[0].op == Transpose((0, 3, 2, 1))


def test_a_pair_around_operators_that_do_not_mind(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 4, 5, 3)), 2, "conv")
    y = net.apply(FIRST, [y], "there")
    y = net.apply(HardSwish(), [y], "swish")
    y = net.apply(Add("relu"), [y, net.constant("c", net.numbers(2, 1, 1), quant=net.quant())], "sum")
    y = net.apply(Mul(), [y, net.constant("d", net.numbers(1, 1, 4, 5), quant=net.quant())], "product")
    y = net.apply(Pad(((0, 0), (0, 1), (1, 2), (0, 0))), [y], "pad")
    y = net.apply(Slice((0, 1, 0, 2), (None, 2, 7, 3), (1, 1, 1, 1)), [y], "part")
    y = net.apply(Mean((2,), keep_dims=True), [y], "mean")
    y = net.apply(LAST, [y], "back")
    after, _ = apply("cancel_transposes", net.finish([net.conv(y, 3, "last")]))
    assert "Transpose" not in kinds(after) and shape(after, "back" if "back" in after.values else "mean") == (None, 1, 3, 2)


def test_a_residual_block_in_another_layout(net: Net) -> None:
    x = net.enter("x", (None, 4, 5, 3))
    one, two = net.apply(FIRST, [net.conv(x, 2, "one")], "t1"), net.apply(FIRST, [net.conv(x, 2, "two")], "t2")
    y = net.apply(Relu(), [net.apply(Add(), [one, two], "sum")], "relu", quant=net.quant())
    joined = net.apply(Concat(1), [y, one], "joined", quant=net.quant())
    after, _ = apply("cancel_transposes", net.finish([net.conv(net.apply(LAST, [joined], "back"), 3, "last")]))
    assert kinds(after) == ["Conv2D", "Conv2D", "Add", "Relu", "Concat", "Conv2D"]


def test_a_mean_takes_a_transpose_in(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 4, 5, 3)), 2, "conv")
    y = net.apply(Mean((2, 3)), [net.apply(FIRST, [y], "turned")], "mean")
    after, _ = apply("cancel_transposes", net.finish([y]))
    assert kinds(after) == ["Conv2D", "Mean"] and after.nodes[1].op == Mean((1, 2))


def test_it_moves_to_where_less_is_to_be_moved(net: Net) -> None:
    y = net.apply(FIRST, [net.conv(net.enter("x", (None, 4, 5, 3)), 2, "conv")], "turned")
    y = net.apply(Slice((0, 0, 0, 0), (None, 2, 2, 2), (1, 1, 1, 1)), [y], "part")
    after, _ = apply("cancel_transposes", net.finish([y]))
    assert kinds(after) == ["Conv2D", "Slice", "Transpose"] and after.outputs == ("part",)


def test_only_where_that_gains_something(net: Net) -> None:
    y = net.apply(FIRST, [net.enter("x", (None, 4, 5, 3))], "turned")
    y = net.apply(HardSwish(), [y], "swish")
    unchanged("cancel_transposes", net.finish([y]))


def test_a_transpose_that_others_read_too(net: Net) -> None:
    y = net.apply(FIRST, [net.enter("x", (None, 4, 5, 3))], "turned")
    back = net.apply(LAST, [net.apply(HardSwish(), [y], "swish")], "back")
    after, _ = apply("cancel_transposes", net.finish([back, y]))
    assert kinds(after).count("Transpose") == 1 and set(after.outputs) == {"back", "turned"}


def test_an_operand_in_another_layout_stops_it(net: Net) -> None:
    x = net.enter("x", (None, 4, 4, 4))
    y = net.apply(Add(), [net.apply(FIRST, [net.conv(x, 4, "conv")], "turned"), x], "sum")
    unchanged("cancel_transposes", net.finish([net.apply(LAST, [y], "back")]))


def test_softmax_wants_its_axis_last() -> None:
    for op in (Softmax(), LogSoftmax()):
        net = Net()
        y = net.apply(op, [net.apply(FIRST, [net.enter("x", (None, 4, 4, 4))], "turned")], "op")
        unchanged("cancel_transposes", net.finish([net.apply(LAST, [y], "back")]))
        net = Net()
        flip = Transpose((0, 2, 1, 3))
        y = net.apply(op, [net.apply(flip, [net.enter("x", (None, 3, 4, 5))], "turned")], "op")
        assert kinds(apply("cancel_transposes", net.finish([net.apply(flip, [y], "back")]))[0]) == [op.kind]


def test_moving_axes_of_size_1_is_a_reshape(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 1, 1, 3)), 5, "conv")
    after, _ = apply("cancel_transposes", net.finish([net.apply(FIRST, [y], "turned")]))
    assert kinds(after) == ["Conv2D", "Reshape"] and after.nodes[1].op == Reshape((None, 5, 1, 1))


def test_a_fixed_batch_may_move_too() -> None:
    net = Net()
    y = net.apply(Transpose((1, 0, 2)), [net.input("x", (2, 3, 4))], "turned")
    y = net.apply(Add(), [y, net.constant("c", np.arange(24, dtype=np.float32).reshape(3, 2, 4))], "sum")
    after, _ = apply("cancel_transposes", net.finish([net.apply(Transpose((1, 0, 2)), [y], "back")]))
    assert kinds(after) == ["Add"]
