from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Level, Structure
from edgewright.ops import Add, AveragePool2D, Concat, Conv2D, Dense, Mean, Mul, Pad, Relu, Reshape, Slice, Softmax, Transpose
from edgewright.ops.cost import cost
from edgewright.passes import find_pass
from edgewright.passes.registry import Context
from edgewright.targets.target import load_target
from tests.passes.check import Net, apply, kinds, same_outputs, shape, unchanged

LEVELS = [Level.FLOAT, Level.INTEGER]


@pytest.fixture(params=LEVELS, ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


def test_constant_channels_go_into_the_bias_of_their_reader(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 8, "first", kernel=3, activation="relu", dead=[2, 5])
    graph = net.finish([net.conv(y, 4, "second", kernel=3)])
    after, ctx = apply("remove_dead_channels", graph)
    assert shape(after, "first/weight") == (6, 3, 3, 3) and shape(after, "first/bias") == (6,)
    assert shape(after, "second/weight") == (4, 3, 3, 6)
    assert [line.detail for line in ctx.lines] == ["2 of 8 channels removed: 2 constant, 0 unread"]


def test_channels_that_nobody_reads_go(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 8, "first", padding=1, kernel=3)
    graph = net.finish([net.conv(y, 4, "second", kernel=3, padding=1, unread=[0, 7])])
    after, ctx = apply("remove_dead_channels", graph)
    assert shape(after, "first/weight") == (6, 3, 3, 3) and shape(after, "second/weight") == (4, 3, 3, 6)
    assert ctx.lines[0].detail == "2 of 8 channels removed: 0 constant, 2 unread"
    np.testing.assert_array_equal(after.array("first/weight"), graph.array("first/weight")[1:7])


def test_a_reader_without_bias_gets_one(net: Net) -> None:
    x = net.enter("x", (None, 5, 5, 2))
    y = net.conv(x, 4, "first", dead=[1])
    graph = net.finish([net.layer(Conv2D(), y, "second", net.numbers(3, 3, 3, 4))])
    after, _ = apply("remove_dead_channels", graph)
    (node,) = [node for node in after.nodes if node.name == "second"]
    assert len(node.inputs) == 3 and shape(after, node.inputs[2]) == (3,)
    if net.integer:
        bias = after.value(node.inputs[2])
        weight, data = after.value("second/weight").quant, after.value(node.inputs[0]).quant
        assert bias.dtype is DType.INT32 and bias.quant is not None and weight is not None and data is not None
        np.testing.assert_allclose(bias.quant.scale, np.asarray(weight.scale) * data.scale[0], rtol=1e-6)


def test_padding_keeps_a_constant_that_is_not_zero(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 4, "first", dead=[1])
    graph = net.finish([net.conv(y, 4, "second", kernel=3, padding=1)])
    ctx = unchanged("remove_dead_channels", graph)
    assert [(line.where, line.action) for line in ctx.lines] == [("second", "skipped")]
    assert "padding" in ctx.lines[0].detail


def test_padding_lets_a_constant_zero_go(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 4, "first", dead=[1])
    zeroed = net.finish([net.conv(y, 4, "second", kernel=3, padding=1)])
    bias = zeroed.array("first/bias").copy()
    bias[1] = 0
    graph = rebuild(zeroed, constants={"first/bias": Constant(bias)})
    after, _ = apply("remove_dead_channels", graph)
    assert shape(after, "second/weight") == (4, 3, 3, 3)


def test_a_constant_that_varies_by_position_stays(net: Net) -> None:
    """The depthwise convolution pads a constant with another value: its output is known everywhere, but differs at the border."""
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 4, "first", dead=[1])
    z = net.depthwise(y, "middle", padding=1)
    unchanged("remove_dead_channels", net.finish([net.conv(z, 4, "second")]))


def test_depthwise_hands_on_constants_and_its_own_dead_filters(net: Net) -> None:
    x = net.enter("x", (None, 8, 8, 3))
    y = net.conv(x, 6, "first", dead=[0], activation="relu6")
    z = net.depthwise(y, "middle", dead=[3, 4])
    graph = net.finish([net.conv(z, 5, "last", unread=[5])])
    after, _ = apply("remove_dead_channels", graph)
    assert shape(after, "first/weight") == (2, 1, 1, 3)
    assert shape(after, "middle/weight") == (2, 3, 3, 1) and shape(after, "middle/bias") == (2,)
    assert shape(after, "last/weight") == (5, 1, 1, 2)


def test_all_filters_of_a_multiplier_must_be_dead(net: Net) -> None:
    """Input channel 0 has output channels 0 and 1, of which one alone is dead; both filters of channel 2 are."""
    x = net.enter("x", (None, 8, 8, 3))
    y = net.conv(x, 4, "first")
    z = net.depthwise(y, "middle", multiplier=2, dead=[0, 4, 5])
    graph = net.finish([net.conv(z, 5, "last")])
    after, _ = apply("remove_dead_channels", graph)
    assert shape(after, "first/weight")[0] == 3 and shape(after, "middle/weight")[0] == 6 and shape(after, "last/weight")[3] == 6


def test_a_group_leaves_as_a_whole(net: Net) -> None:
    """Of three groups with two inputs and two outputs each, nobody reads the second; of the first and third, one output is read."""
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 6, "first")
    z = net.layer(Conv2D(groups=3), y, "grouped", net.numbers(6, 3, 3, 2), net.biases(6))
    after, _ = apply("remove_dead_channels", net.finish([net.conv(z, 4, "last", unread=[0, 2, 3, 5])]))
    assert after.producers["grouped"].op == Conv2D(groups=2) and shape(after, "grouped/weight") == (4, 3, 3, 2)
    assert shape(after, "first/weight")[0] == 4 and shape(after, "last/weight") == (4, 1, 1, 4)


def test_residual_addition_needs_both_sides(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    left = net.conv(x, 6, "left", dead=[1, 4])
    right = net.conv(x, 6, "right", dead=[1, 5])
    total = net.apply(Add("relu"), [left, right], "sum")
    graph = net.finish([net.conv(total, 4, "last", unread=[2])])
    after, _ = apply("remove_dead_channels", graph)
    assert shape(after, "left/weight")[0] == shape(after, "right/weight")[0] == shape(after, "last/weight")[3] == 4


def test_a_channel_that_another_branch_reads_stays(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 4, "first")
    one = net.conv(y, 4, "one", unread=[0, 1])
    two = net.conv(y, 4, "two", unread=[1, 2])
    after, _ = apply("remove_dead_channels", net.finish([one, two]))
    assert shape(after, "first/weight")[0] == 3


def test_concatenation_slices_and_padding_of_channels(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    a = net.conv(x, 4, "a", dead=[3])
    b = net.conv(x, 5, "b", dead=[0])
    joined = net.apply(Concat(3), [a, b], "joined", quant=net.value(a).quant)
    wider = net.apply(Pad(((0, 0), (0, 0), (0, 0), (1, 2))), [joined], "wider")
    part = net.apply(Slice((0, 0, 0, 0), (None, 6, 6, 9), (1, 1, 1, 1)), [wider], "part")
    graph = net.finish([net.conv(part, 4, "last", unread=[6])])
    after, _ = apply("remove_dead_channels", graph)
    # The sliced part holds one padded channel, all of a, and channels 0 to 3 of b: b's last one is sliced away, its channel 1 unread.
    assert shape(after, "a/weight")[0] == 3 and shape(after, "b/weight")[0] == 2
    assert shape(after, "last/weight") == (4, 1, 1, 5)
    assert shape(after, "wider") == (None, 6, 6, 5)


def test_flattened_channels_leave_every_column(net: Net) -> None:
    x = net.enter("x", (None, 4, 4, 3))
    y = net.conv(x, 4, "first", dead=[2], activation="relu")
    pooled = net.apply(AveragePool2D((2, 2), (2, 2)), [y], "pooled")
    flat = net.apply(Reshape((None, 16)), [pooled], "flat")
    graph = net.finish([net.dense(flat, 5, "last")])
    after, _ = apply("remove_dead_channels", graph)
    assert shape(after, "first/weight")[0] == 3 and shape(after, "last/weight") == (5, 12) and shape(after, "flat") == (None, 12)


def test_channels_first_flatten(net: Net) -> None:
    """A flatten lets go of its last axis only; in the columns of the dense layer the order of the axes is free."""
    x = net.enter("x", (None, 4, 4, 3))
    y = net.conv(x, 4, "first", dead=[2])
    turned = net.apply(Transpose((0, 3, 1, 2)), [y], "turned")
    flat = net.apply(Reshape((None, 64)), [turned], "flat")
    graph = net.finish([net.dense(flat, 5, "last")])
    unchanged("remove_dead_channels", graph)
    straight, _ = apply("fold_transposes", graph)
    assert kinds(straight) == ["Conv2D", "Reshape", "Dense"]
    after, _ = apply("remove_dead_channels", straight)
    assert shape(after, "first/weight") == (3, 1, 1, 3) and shape(after, "last/weight") == (5, 48)


def test_a_dense_unit_that_one_column_reads(net: Net) -> None:
    x = net.enter("x", (None, 7))
    y = net.dense(x, 6, "first")
    weight = net.numbers(3, 6)
    weight[:, 4] = 0
    graph = net.finish([net.layer(Dense(), y, "last", weight)])
    after, _ = apply("remove_dead_channels", graph)
    assert shape(after, "first/weight") == (5, 7) and shape(after, "last/weight") == (3, 5)


def test_removal_runs_on_until_nothing_is_left_to_remove(net: Net) -> None:
    """Channel 0 of the second layer is unread; nothing else reads channel 3 of the first."""
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 5, "first")
    weight = net.numbers(4, 1, 1, 5)
    weight[1:, :, :, 3] = 0
    z = net.layer(Conv2D(), y, "second", weight, net.biases(4))
    after, _ = apply("remove_dead_channels", net.finish([net.conv(z, 2, "last", unread=[0])]))
    assert shape(after, "first/weight") == (4, 1, 1, 3) and shape(after, "second/weight") == (3, 1, 1, 4)


def test_one_channel_is_left_of_every_axis(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 4, "first", dead=[0, 1, 2, 3])
    after, _ = apply("remove_dead_channels", net.finish([net.conv(y, 2, "last")]))
    assert shape(after, "first/weight") == (1, 1, 1, 3)


def test_inputs_and_outputs_keep_their_shape(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    graph = net.finish([net.conv(x, 4, "only", dead=[1], unread=[2])])
    unchanged("remove_dead_channels", graph)


def test_softmax_keeps_its_channels(net: Net) -> None:
    x = net.enter("x", (None, 5))
    y = net.dense(x, 4, "first")
    softmax = net.apply(Softmax(), [y], "softmax", quant=Quant.per_tensor(1 / 256, -128))
    weight = net.numbers(3, 4)
    weight[:, 1] = 0
    unchanged("remove_dead_channels", net.finish([net.layer(Dense(), softmax, "last", weight)]))


def test_a_product_with_a_gate_goes_channel_by_channel(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 6, "first")
    squeezed = net.apply(Mean((1, 2), keep_dims=True), [y], "squeezed")
    gate = net.conv(squeezed, 6, "gate", activation="relu6")
    product = net.apply(Mul(), [y, gate], "product")
    weight = net.numbers(4, 1, 1, 6)
    weight[..., 5] = 0
    graph = net.finish([net.layer(Conv2D(), product, "last", weight)])
    # The gate's channel 5 goes only together with the first layer's, which the gate itself reads.
    unchanged("remove_dead_channels", graph)
    cut = graph.array("gate/weight").copy()
    cut[..., 5] = 0
    after, _ = apply("remove_dead_channels", rebuild(graph, constants={"gate/weight": Constant(cut)}))
    assert shape(after, "gate/weight") == (5, 1, 1, 5) and shape(after, "first/weight")[0] == 5


def test_channels_leave_a_state(net: Net) -> None:
    """Frames are kept in a state. Channel 1 is always zero, as the state is at first; channel 2 is unread."""
    x = net.enter("x", (None, 1, 2, 3))
    y = net.conv(x, 4, "first", dead=[1], activation="relu")
    kind, dtype = (np.int8, DType.INT8) if net.integer else (np.float32, DType.FLOAT32)
    initial = net.constant("initial", np.full((1, 2, 2, 4), 3 if net.integer else 0, kind), quant=net.quant())
    past = net.state("past", (None, 2, 2, 4), initial, dtype, net.value(y).quant)
    joined = net.apply(Concat(1), [past, y], "joined")
    net.write_state(past, net.apply(Slice((0, 1, 0, 0), (None, 2, 2, 4), (1, 1, 1, 1)), [joined], "next"))
    weight = net.numbers(5, 3, 2, 4)
    weight[..., 2] = 0
    graph = net.finish([net.layer(Conv2D(), joined, "last", weight, net.biases(5))])
    bias = graph.array("first/bias").copy()
    bias[1] = -1
    after, _ = apply("remove_dead_channels", rebuild(graph, constants={"first/bias": Constant(bias)}), calls=3)
    assert shape(after, "past") == (None, 2, 2, 2) and shape(after, "initial") == (1, 2, 2, 2) and shape(after, "first/weight")[0] == 2


def test_a_state_that_changes_is_not_constant(net: Net) -> None:
    """The dead channel's value differs from the state's first one: the first calls see another number."""
    x = net.enter("x", (None, 1, 2, 3))
    y = net.conv(x, 4, "first", dead=[1])
    kind, dtype = (np.int8, DType.INT8) if net.integer else (np.float32, DType.FLOAT32)
    initial = net.constant("initial", np.full((1, 1, 2, 4), 100, kind), quant=net.quant() if net.integer else None)
    past = net.state("past", (None, 1, 2, 4), initial, dtype, net.value(y).quant)
    net.write_state(past, y)
    graph = net.finish([net.conv(past, 5, "last")])
    same_outputs(graph, graph, calls=3)
    unchanged("remove_dead_channels", graph)


def test_int32_bias_that_would_overflow_keeps_its_channel() -> None:
    net = Net(Level.INTEGER)
    x = net.enter("x", (None, 4, 4, 3))
    y = net.conv(x, 4, "first", dead=[1])
    graph = net.finish([net.conv(y, 2, "last")])
    bias = np.array([5000, 0, 0, 0], np.int32)
    bias[1] = 100_000
    full = np.full(2, 2**31 - 1, np.int64).astype(np.int32)
    weight = np.abs(graph.array("last/weight").astype(np.int16)).astype(np.int8)
    graph = rebuild(graph, constants={"first/bias": Constant(bias), "last/bias": Constant(full), "last/weight": Constant(weight)})
    # Its sums overflow on purpose: it is not run.
    assert find_pass("remove_dead_channels").function(graph, Context()) is graph


def test_structures_are_cut_along(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 4))
    y = net.conv(x, 6, "first", dead=[2])
    graph = net.finish([net.conv(y, 4, "last", unread=[5])])
    mask = graph.array("first/weight") != 0
    codebook = np.sort(graph.array("first/weight").reshape(6, -1), axis=1)
    first = Constant(graph.array("first/weight"), Structure(mask=mask, codebook=codebook, bits=8))
    last = Constant(graph.array("last/weight"), Structure(mask=graph.array("last/weight") != 0))
    after, _ = apply("remove_dead_channels", rebuild(graph, constants={"first/weight": first, "last/weight": last}))
    structure = after.constants["first/weight"].structure
    assert structure is not None and structure.mask is not None and structure.codebook is not None and structure.bits == 8
    assert structure.mask.shape == (4, 1, 1, 4) and structure.codebook.shape == (4, 4)
    assert after.constants["last/weight"].structure.mask.shape == (4, 1, 1, 4)  # type: ignore[union-attr]


def test_a_pattern_along_the_input_axis_is_not_broken(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 4))
    y = net.conv(x, 8, "first", dead=[2])
    graph = net.finish([net.conv(y, 4, "last", unread=[0, 1, 4, 5])])
    patterned = Constant(graph.array("last/weight"), Structure(pattern=(2, 4)))
    unchanged("remove_dead_channels", rebuild(graph, constants={"last/weight": patterned}))


def test_shared_weights_are_cut_for_both_readers(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    one, two = net.conv(x, 4, "one", dead=[1]), net.conv(x, 4, "two", dead=[1, 2])
    graph = net.finish([net.conv(one, 3, "last"), net.conv(two, 3, "other")])
    other = graph.producers["other"]
    same = dataclasses.replace(other, inputs=(other.inputs[0], "last/weight", "last/bias"))
    nodes = [same if node is other else node for node in graph.nodes]
    after, _ = apply("remove_dead_channels", rebuild(graph, nodes=nodes))
    assert shape(after, "last/weight") == (3, 1, 1, 3)
    biases = {node.inputs[2] for node in after.nodes if node.name in ("last", "other")}
    assert len(biases) == 2


def test_everything_at_once(net: Net) -> None:
    """Constant, dead and unread channels through padding, depthwise, residual additions and concatenation; what is left is counted."""
    x = net.enter("x", (None, 8, 8, 3))
    stem = net.conv(x, 8, "stem", kernel=3, padding=1, dead=[0], activation="relu")
    padded = net.apply(Pad(((0, 0), (1, 1), (1, 1), (0, 0)), value=0.0), [stem], "padded")
    deep = net.depthwise(padded, "deep", dead=[1])
    side = net.conv(stem, 8, "side", dead=[1, 2], unread=[0, 1, 2])
    total = net.apply(Add(), [deep, side], "total")
    wide = net.conv(total, 6, "wide", dead=[5], unread=[2], activation="relu6")
    joined = net.apply(Concat(3), [total, wide], "joined", quant=net.value(total).quant)
    last = net.conv(joined, 4, "last", unread=[2, 3, 8])
    pooled = net.apply(Mean(), [last], "pooled")
    graph = net.finish([net.dense(pooled, 3, "head")])
    after, _ = apply("remove_dead_channels", graph)
    # total: 1 is constant in both branches, 2 unread behind it (and neither is read beside it); 0 is constant in one branch only.
    # wide: 5 constant, 0 unread (place 8 of joined). joined: 6 + 4 channels.
    assert shape(after, "stem/weight")[0] == 6 and shape(after, "deep/weight")[0] == 6 and shape(after, "side/weight") == (6, 1, 1, 6)
    assert shape(after, "wide/weight") == (4, 1, 1, 6) and shape(after, "last/weight") == (4, 1, 1, 10)
    assert cost(after).parameters < cost(graph).parameters and cost(after).macs < cost(graph).macs


def test_relu_between_and_unknown_operands_do_not_disturb(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 4, "first", dead=[0, 3])
    z = net.apply(Relu(), [y], "relu", quant=net.value(y).quant)
    after, _ = apply("remove_dead_channels", net.finish([net.conv(z, 2, "last", kernel=3)]))
    assert shape(after, "first/weight")[0] == 2


def test_as_many_dead_channels_stay_as_fill_the_multiple(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 16, "first", activation="relu", dead=[1, 2, 5, 7, 11])
    graph = net.finish([net.conv(y, 4, "second")])
    after, ctx = apply("remove_dead_channels", graph, multiple=4)
    assert shape(after, "first/weight")[0] == 12 and shape(after, "second/weight")[3] == 12
    assert [line.detail for line in ctx.lines if line.action == "skipped"] == [
        "1 dead channels stay: a count that 4 divides is faster on the target"
    ]
    unchanged("remove_dead_channels", graph, multiple=16)


def test_a_multiple_that_never_fitted_is_no_reason_to_keep_channels(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 7, "first", activation="relu", dead=[1, 2])
    after, _ = apply("remove_dead_channels", net.finish([net.conv(y, 4, "second")]), multiple=8)
    assert shape(after, "first/weight")[0] == 5


def test_the_target_names_the_multiple(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 8, "first", activation="relu", dead=[1, 2])
    graph = net.finish([net.conv(y, 4, "second")])
    quick = find_pass("remove_dead_channels").function(graph, Context(target=load_target("cortex-m4")))
    plain = find_pass("remove_dead_channels").function(graph, Context(target=load_target("cortex-m3")))
    assert shape(quick, "first/weight")[0] == 8 and shape(plain, "first/weight")[0] == 6


def test_a_negative_multiple_is_refused(net: Net) -> None:
    graph = net.finish([net.conv(net.enter("x", (None, 6, 6, 3)), 4, "first")])
    with pytest.raises(RecipeError, match="multiple is -1"):
        find_pass("remove_dead_channels").function(graph, Context(), multiple=-1)
