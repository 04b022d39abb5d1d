from __future__ import annotations

import numpy as np
import pytest

from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Structure
from edgewright.ops import Add, Conv2D, MaxPool2D, Mul, Relu, Sub
from tests.passes.check import Net, apply, kinds, unchanged


def scalar(net: Net, name: str, *size: int) -> str:
    return net.constant(name, net.numbers(*size))


@pytest.mark.parametrize("size", [(), (1,), (4,), (1, 1, 1, 4), (1, 1, 4)])
@pytest.mark.parametrize("op", [Add(), Sub(), Mul(), Mul("relu6")])
@pytest.mark.parametrize("first", [True, False])
def test_into_the_layer_before(size: tuple[int, ...], op: Add | Sub | Mul, first: bool) -> None:
    net = Net()
    y = net.conv(net.enter("x", (None, 6, 6, 3)), 4, "conv", kernel=3, padding=1)
    c = scalar(net, "c", *size)
    after, _ = apply("fold_scalars", net.finish([net.apply(op, [y, c] if first else [c, y], "y")]))
    assert kinds(after) == ["Conv2D"] and after.nodes[0].op.attributes()["activation"] == op.activation and after.outputs == ("y",)


def test_a_bias_that_stands_apart() -> None:
    net = Net()
    y = net.layer(Conv2D(), net.enter("x", (None, 6, 6, 3)), "conv", net.numbers(4, 3, 3, 3))
    graph = net.finish([net.apply(Add("relu"), [y, scalar(net, "c", 4)], "y")])
    after, _ = apply("fold_scalars", graph)
    assert kinds(after) == ["Conv2D"] and len(after.nodes[0].inputs) == 3
    np.testing.assert_array_equal(after.array("conv/weight"), graph.array("conv/weight"))


def test_input_normalization_goes_into_a_first_layer_without_padding() -> None:
    def normalized(padding: int) -> Net:
        net = Net()
        y = net.apply(Sub(), [net.enter("x", (None, 6, 6, 3)), scalar(net, "mean", 1, 1, 1, 3)], "centred")
        net.conv(net.apply(Mul(), [y, scalar(net, "scale", 3)], "scaled"), 4, "conv", kernel=3, padding=padding)
        return net

    assert kinds(apply("fold_scalars", normalized(0).finish(["conv"]))[0]) == ["Conv2D"]
    # The scale alone goes through the padding; the mean cannot.
    assert kinds(apply("fold_scalars", normalized(1).finish(["conv"]))[0]) == ["Sub", "Conv2D"]


def test_a_grouped_convolution_takes_nothing() -> None:
    """Each of its input channels has columns of its own in every row of its group only."""
    for op in (Mul(), Add()):
        net = Net()
        y = net.apply(op, [net.enter("x", (None, 6, 6, 4)), scalar(net, "c", 4)], "scaled")
        unchanged("fold_scalars", net.finish([net.layer(Conv2D(groups=2), y, "conv", net.numbers(6, 3, 3, 2))]))


def test_long_runs_are_merged() -> None:
    net = Net()
    y = net.apply(MaxPool2D(), [net.enter("x", (None, 6, 6, 3))], "max")
    for index, op in enumerate((Add(), Mul(), Sub(), Mul(), Add("relu"))):
        y = net.apply(op, [y, scalar(net, f"c{index}", 3)], f"step{index}")
    after, _ = apply("fold_scalars", net.finish([y]))
    assert kinds(after) == ["MaxPool2D", "Mul", "Add"] and after.nodes[2].op == Add("relu") and after.outputs == ("step4",)


def test_a_run_that_comes_to_nothing() -> None:
    net = Net()
    y = net.enter("x", (None, 3))
    for index, (op, number) in enumerate([(Mul(), 2.0), (Mul(), 0.5)]):
        y = net.apply(op, [y, net.constant(f"c{index}", np.float32(number).reshape(()))], f"step{index}")
    after, _ = apply("fold_scalars", net.finish([net.apply(Relu(), [y], "relu")]))
    assert kinds(after) == ["Mul", "Relu"] and kinds(apply("remove_identities", after)[0]) == ["Relu"]


def test_what_is_not_per_channel_stays() -> None:
    for size in ((1, 6, 6, 1), (6, 1), (1, 6, 6, 4)):
        net = Net()
        y = net.conv(net.enter("x", (None, 6, 6, 3)), 4, "conv")
        unchanged("fold_scalars", net.finish([net.apply(Mul(), [y, scalar(net, "c", *size)], "y")]))


def test_what_makes_the_tensor_larger_stays() -> None:
    net = Net()
    y = net.conv(net.enter("x", (None, 6, 6, 3)), 1, "conv")
    unchanged("fold_scalars", net.finish([net.apply(Add(), [y, scalar(net, "c", 4)], "y")]))


def test_two_activations_are_not_constants() -> None:
    net = Net()
    x = net.enter("x", (None, 6, 6, 3))
    unchanged("fold_scalars", net.finish([net.apply(Mul(), [net.conv(x, 3, "conv"), x], "y")]))


def test_a_value_that_others_read_stays() -> None:
    net = Net()
    y = net.conv(net.enter("x", (None, 6, 6, 3)), 4, "conv")
    z = net.apply(Add(), [y, scalar(net, "c", 4)], "z")
    unchanged("fold_scalars", net.finish([z, net.apply(Relu(), [y], "relu")]))


def test_a_codebook_of_columns_is_not_scaled() -> None:
    net = Net()
    y = net.apply(Mul(), [net.enter("x", (None, 6, 6, 3)), scalar(net, "c", 3)], "scaled")
    graph = net.finish([net.conv(y, 4, "conv")])
    weight = np.where(graph.array("conv/weight") > 0, np.float32(1), np.float32(-1))
    signs = Structure(codebook=np.array([-1, 1], np.float32))
    unchanged("fold_scalars", rebuild(graph, constants={"conv/weight": Constant(weight, signs)}))
