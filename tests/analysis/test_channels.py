from __future__ import annotations

import numpy as np
import pytest

from edgewright.analysis.channels import channel_groups, contractions, keep_one, remove_channels, shrink_constant
from edgewright.ir.dtype import DType
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level, Structure
from edgewright.ir.operator import Axis
from edgewright.ir.verify import verify
from edgewright.ops import Add, Concat, Mul, Reshape, Slice
from edgewright.ops.evaluate import evaluate
from tests.passes.check import Net, random_inputs, shape


@pytest.fixture(params=[Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


def residual(net: Net) -> Graph:
    x = net.enter("x", (None, 4, 4, 3))
    y = net.conv(x, 6, "first")
    z = net.depthwise(y, "depthwise", padding=1)
    total = net.apply(Add(), [y, z], "sum")
    joined = net.apply(Concat(3), [total, net.conv(x, 2, "side")], "joined", quant=net.quant())
    flat = net.apply(Reshape((None, 128)), [joined], "flat")
    return net.finish([net.dense(flat, 5, "head")])


def test_groups_couple_what_leaves_together(net: Net) -> None:
    groups = channel_groups(residual(net))
    label = groups.labels["first/weight", 0]
    assert len(set(label.tolist())) == 6 and not groups.pinned[label].any()
    for key in (("first", 3), ("first/bias", 0), ("depthwise/weight", 0), ("depthwise", 3), ("sum", 3)):
        np.testing.assert_array_equal(groups.labels[key], label)
    np.testing.assert_array_equal(groups.labels["joined", 3][:6], label)
    np.testing.assert_array_equal(groups.labels["flat", 1], np.tile(groups.labels["joined", 3], 16))
    np.testing.assert_array_equal(groups.labels["head/weight", 1], groups.labels["flat", 1])
    for key in (("x", 3), ("first/weight", 3), ("head/weight", 0), ("head", 1), ("first", 1), ("first/weight", 1), ("first", 0)):
        assert groups.pinned[groups.labels[key]].all(), key


def test_members_are_what_labels_say(net: Net) -> None:
    groups = channel_groups(residual(net))
    chosen = [int(group) for group in groups.labels["first", 3][[1, 4]]]
    members = groups.members(chosen)
    assert members["sum", 3].tolist() == [1, 4] and members["flat", 1].tolist() == sorted([*range(1, 128, 8), *range(4, 128, 8)])
    assert ("side", 3) not in members and groups.members([]) == {}


def test_removal_is_what_the_smaller_network_computes(net: Net) -> None:
    """Zero weights read the channels that go: the outputs stay, whatever the channels held."""
    graph = residual(net)
    weight = graph.array("head/weight").copy().reshape(5, 16, 8)
    weight[:, :, [0, 5, 7]] = 0
    graph = rebuild(graph, constants={"head/weight": Constant(weight.reshape(5, 128))})
    groups = channel_groups(graph)
    chosen = {int(group) for group in groups.labels["joined", 3][[0, 5, 7]]}
    after = verify(remove_channels(graph, groups.members(chosen)))
    assert shape(after, "first/weight")[0] == 4 and shape(after, "side/weight")[0] == 1 and shape(after, "flat") == (None, 80)
    for before, now in zip(*(evaluate(g, random_inputs(g)) for g in (graph, after)), strict=True):
        np.testing.assert_allclose(before, now, rtol=1e-5, atol=1e-5)


def test_nothing_removed_is_the_same_graph(net: Net) -> None:
    graph = residual(net)
    assert remove_channels(graph, {}) is graph and remove_channels(graph, {("first", 3): np.zeros(0, np.int64)}) is graph


def test_groups_reach_through_states() -> None:
    net = Net()
    x = net.enter("x", (None, 1, 1, 4))
    past = net.state("past", (None, 1, 1, 4), net.constant("initial", net.numbers(1, 1, 1, 4)), DType.FLOAT32)
    y = net.conv(x, 4, "conv")
    net.write_state(past, y)
    groups = channel_groups(net.finish([net.conv(past, 3, "behind")]))
    for key in (("past", 3), ("initial", 3), ("behind/weight", 3)):
        np.testing.assert_array_equal(groups.labels[key], groups.labels["conv", 3])
    assert not groups.pinned[groups.labels["conv", 3]].any()


def test_operators_that_cannot_let_go_pin_their_operands() -> None:
    net = Net()
    x = net.enter("x", (None, 4, 4, 3))
    y = net.conv(x, 6, "first")
    strided = net.apply(Slice((0, 0, 0, 0), (None, 4, 4, 3), (1, 1, 1, 2)), [y], "strided")
    groups = channel_groups(net.finish([net.conv(strided, 2, "last")]))
    assert groups.pinned[groups.labels["first", 3]].all()


def test_contractions(net: Net) -> None:
    graph = residual(net)
    by_name = {node.name: contractions(graph, node) for node in graph.nodes}
    assert by_name["first"][Axis("in", 0, 3)].all() and not by_name["first"][Axis("in", 1, 0)].any()
    assert not any(mask.any() for mask in by_name["depthwise"].values()) and not any(mask.any() for mask in by_name["sum"].values())
    assert by_name["head"][Axis("in", 0, 1)].all()


def test_one_of_every_axis_is_kept(net: Net) -> None:
    groups = channel_groups(residual(net))
    label = groups.labels["joined", 3]
    everything = {int(group) for group in label}
    left = keep_one(groups, everything)
    assert everything - left == {int(label[0]), int(label[6])}
    # The groups of first come as the axes of first do; side keeps one of its own.
    priority = np.zeros(groups.count)
    priority[label[3]] = priority[label[7]] = 1.0
    assert everything - keep_one(groups, everything, priority) == {int(label[3]), int(label[7])}
    assert keep_one(groups, everything - {int(label[2])}) == everything - {int(label[2]), int(label[6])}


def test_a_product_of_two_activations_ties_them(net: Net) -> None:
    x = net.enter("x", (None, 4, 4, 3))
    product = net.apply(Mul(), [net.conv(x, 4, "a"), net.conv(x, 4, "b")], "product")
    groups = channel_groups(net.finish([net.conv(product, 2, "last")]))
    np.testing.assert_array_equal(groups.labels["a/weight", 0], groups.labels["b/weight", 0])


def test_structure_of_a_smaller_constant() -> None:
    array = np.array([[1, 0, 2, 0], [0, 3, 0, 4]], np.float32)
    constant = Constant(array, Structure(array != 0, (1, 2), np.array([[0, 1, 2], [0, 3, 4]], np.float32), 8))
    rows = shrink_constant(constant, {0: np.array([0])}).structure
    assert rows is not None and rows.pattern == (1, 2) and rows.bits == 8
    assert rows.mask is not None and rows.mask.tolist() == [[False, True, False, True]]
    assert rows.codebook is not None and rows.codebook.tolist() == [[0, 3, 4]]
    one_of_two = shrink_constant(constant, {1: np.array([0, 1])}).structure
    assert one_of_two is not None and one_of_two.pattern == (1, 2)
    broken = shrink_constant(constant, {1: np.array([1])}).structure
    assert broken is not None and broken.pattern is None
