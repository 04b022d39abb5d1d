from __future__ import annotations

import numpy as np
import pytest

from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level, Structure
from edgewright.ops import Dense, Relu, Reshape, Transpose
from tests.passes.check import Net, apply, kinds, unchanged

FIRST = Transpose((0, 3, 1, 2))


@pytest.fixture(params=[Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


def flattened(net: Net) -> Graph:
    """An image, flattened channels first as torch does, and a dense layer."""
    y = net.conv(net.enter("x", (None, 3, 4, 3)), 2, "conv")
    y = net.apply(Reshape((None, 24)), [net.apply(FIRST, [y], "turned")], "flat")
    return net.finish([net.dense(y, 5, "dense", activation="relu")])


def test_before_a_dense_layer(net: Net) -> None:
    after, ctx = apply("fold_transposes", flattened(net))
    assert kinds(after) == ["Conv2D", "Reshape", "Dense"]
    assert after.constants.keys() == {"conv/weight", "conv/bias", "dense/weight", "dense/bias"}
    assert ctx.lines[0].detail == "takes over 'turned'"


def test_behind_a_dense_layer(net: Net) -> None:
    y = net.dense(net.enter("x", (None, 7)), 24, "dense", activation="relu")
    y = net.apply(Transpose((0, 2, 3, 1)), [net.apply(Reshape((None, 2, 3, 4)), [y], "image")], "turned")
    after, _ = apply("fold_transposes", net.finish([net.conv(y, 3, "conv")]))
    assert kinds(after) == ["Dense", "Reshape", "Conv2D"]


def test_several_moves_on_both_sides(net: Net) -> None:
    y = net.apply(Transpose((0, 2, 1)), [net.enter("x", (None, 4, 6))], "one")
    y = net.apply(Transpose((0, 2, 1, 3)), [net.apply(Reshape((None, 2, 3, 4)), [y], "two")], "three")
    y = net.dense(net.apply(Reshape((None, 24)), [y], "four"), 6, "dense")
    y = net.apply(Transpose((0, 2, 1)), [net.apply(Reshape((None, 2, 3)), [y], "five")], "six")
    after, _ = apply("fold_transposes", net.finish([y]))
    assert kinds(after) == ["Reshape", "Dense", "Reshape"] and after.outputs == ("six",)


def test_a_mask_and_a_codebook_move_along(net: Net) -> None:
    graph = flattened(net)
    weight = graph.array("dense/weight").copy()
    weight[:, :12] = 0
    graph = rebuild(graph, constants={"dense/weight": Constant(weight, Structure(mask=weight != 0, codebook=np.unique(weight)))})
    after, _ = apply("fold_transposes", graph)
    constant = after.constants["dense/weight"]
    assert constant.structure is not None and constant.structure.mask is not None
    assert not constant.array[~constant.structure.mask].any() and constant.structure.mask.sum() == (weight != 0).sum()


def test_a_pattern_of_columns_stays_where_it_is(net: Net) -> None:
    graph = flattened(net)
    patterned = Constant(graph.array("dense/weight"), Structure(pattern=(2, 4)))
    unchanged("fold_transposes", rebuild(graph, constants={"dense/weight": patterned}))


def test_others_that_read_the_transposed_image(net: Net) -> None:
    y = net.apply(FIRST, [net.enter("x", (None, 3, 4, 2))], "turned")
    flat = net.apply(Reshape((None, 24)), [y], "flat")
    unchanged("fold_transposes", net.finish([net.dense(flat, 5, "dense"), net.apply(Relu(), [y], "relu")]))


def test_a_weight_that_two_layers_share_is_copied(net: Net) -> None:
    x = net.enter("x", (None, 3, 4, 2))
    y = net.apply(Reshape((None, 24)), [net.apply(FIRST, [x], "turned")], "flat")
    plain = net.apply(Reshape((None, 24)), [x], "plain")
    first = net.dense(y, 5, "dense")
    graph = net.finish([first, net.apply(Dense(), [plain, "dense/weight", "dense/bias"], "other")])
    after, _ = apply("fold_transposes", graph)
    assert len({node.inputs[1] for node in after.nodes if node.op.kind == "Dense"}) == 2


def test_sequences_keep_their_transposes() -> None:
    """The dense layer works on every step of a sequence: nothing is flattened."""
    net = Net()
    y = net.apply(Transpose((0, 2, 1)), [net.enter("x", (None, 4, 6))], "turned")
    unchanged("fold_transposes", net.finish([net.dense(y, 5, "dense")]))


def test_a_batch_that_is_mixed_in_keeps_its_transposes() -> None:
    net = Net()
    y = net.apply(Transpose((1, 0, 2)), [net.input("x", (2, 3, 4))], "turned")
    unchanged("fold_transposes", net.finish([net.dense(net.apply(Reshape((3, 8)), [y], "flat"), 5, "dense")]))
    net = Net()
    y = net.apply(Transpose((0, 2, 1)), [net.input("x", (1, 3, 4))], "turned")
    unchanged("fold_transposes", net.finish([net.dense(net.apply(Reshape((4, 3)), [y], "flat"), 5, "dense")]))
