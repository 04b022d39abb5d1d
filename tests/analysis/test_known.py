from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from edgewright.analysis.known import known_elements
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Level
from edgewright.ir.operator import Operator
from edgewright.ops import Add, Concat, Conv2D, Mean, Pad, Reshape
from edgewright.ops.evaluate import evaluate
from tests.passes.check import Net, random_inputs
from tests.zoo import ZOO, integer_inputs, quantize_zoo, zoo_inputs


@pytest.fixture(params=[Level.FLOAT, Level.INTEGER], ids=lambda level: level.value)
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


def test_what_is_known_holds_for_every_input(net: Net) -> None:
    x = net.enter("x", (None, 6, 6, 3))
    y = net.conv(x, 5, "conv", kernel=3, padding=1, dead=[1, 3], activation="relu")
    values = [y, net.depthwise(y, "depthwise", padding=1, dead=[0]), net.conv(y, 4, "behind", kernel=3, padding=1, unread=[0, 2, 4])]
    values.append(net.apply(Pad(((0, 0), (1, 1), (0, 0), (0, 1)), value=0.3), [y], "padded"))
    values.append(net.apply(Concat(3), [y, values[2]], "joined", quant=net.value(y).quant))
    values.append(net.apply(Mean(), [y], "mean"))
    values.append(net.apply(Reshape((None, 180)), [y], "flat"))
    values.append(net.apply(Add(), [y, values[1]], "sum"))
    graph = net.finish(values)
    known = known_elements(graph)
    counts = []
    for name, array in zip(graph.outputs, evaluate(graph, random_inputs(graph)), strict=True):
        entry = known[name]
        counts.append(int(entry.mask.sum()))
        for sample in array:
            np.testing.assert_allclose(sample[entry.mask[0]], entry.array[0][entry.mask[0]], rtol=1e-6, atol=1e-6)
    # behind reads nothing but the two constants: all of it is known, though not the same everywhere.
    assert counts == [72, 3 * 36, 4 * 36, 8 * 6 * 6 - 6 * 6 * 3, 72 + 144, 2, 72, 72]
    assert known["conv"].slabs(3).tolist() == [False, True, False, True, False]


def test_nothing_is_known_of_inputs_and_all_of_constants(net: Net) -> None:
    graph = net.finish([net.conv(net.enter("x", (None, 2, 2, 3)), 2, "conv")])
    assert set(known_elements(graph)) == {"conv/weight", "conv/bias"}


def test_states_are_known_where_they_never_change() -> None:
    net = Net()
    x = net.enter("x", (None, 1, 1, 2))
    past = net.state("past", (None, 1, 1, 2), net.constant("initial", np.array([0, 7], np.float32).reshape(1, 1, 1, 2)))
    weight = np.array([[1, 0, 1, 0], [0, 0, 0, 1]], np.float32).reshape(2, 1, 1, 4)
    net.write_state(past, net.layer(Conv2D(), net.apply(Concat(3), [x, past], "joined"), "next", weight))
    known = known_elements(net.finish([net.apply(Add(), [past, x], "sum")]))
    assert known["past"].mask.reshape(-1).tolist() == [False, True] and known["past"].array[0, 0, 0, 1] == 7


def test_a_state_that_rests_on_another_that_changes_is_not_known() -> None:
    net = Net()
    x = net.enter("x", (None, 2))
    zero = net.constant("zero", np.zeros((1, 2), np.float32))
    first, second = net.state("first", (None, 2), zero), net.state("second", (None, 2), zero)
    net.write_state(second, net.apply(Add(), [first, second], "sum"))
    net.write_state(first, net.apply(Add(), [first, x], "total"))
    assert set(known_elements(net.finish(["sum"]))) == {"zero"}


def test_every_operator_hands_on_what_is_unknown() -> None:
    """Unknown elements run through the float evaluation as NaN: no operator may swallow it."""
    unary = [kind() for kind in Operator.REGISTRY.values() if kind.inputs_range == (1, 1) and kind.__module__.startswith("edgewright.ops")
             and kind.pointwise]
    assert len(unary) >= 9
    x = torch.tensor([float("nan"), 1.0])
    for op in unary:
        (y,) = op.evaluate([x])
        assert y.isnan().tolist() == [True, False], op
    alphas = torch.tensor([0.0, 0.0])
    assert Operator.REGISTRY["PRelu"]().evaluate([x, alphas])[0].isnan().tolist() == [True, False]
    image = torch.ones(1, 4, 4, 1)
    image[0, 0, 0, 0] = float("nan")
    for kind in ("MaxPool2D", "AveragePool2D"):
        (y,) = Operator.REGISTRY[kind](activation="relu6").evaluate([image])  # type: ignore[call-arg]
        assert y.isnan().sum() == 1 and bool(y[0, 0, 0, 0].isnan())
    for mode in ("nearest", "bilinear"):
        (y,) = Operator.REGISTRY["Resize"](size=(8, 8), mode=mode).evaluate([image])  # type: ignore[call-arg]
        assert bool(y[0, 0, 0, 0].isnan()) and not bool(y[0, 7, 7, 0].isnan())
    for kind in ("Softmax", "LogSoftmax"):
        assert bool(Operator.REGISTRY[kind]().evaluate([x])[0].isnan().all())


def test_types_of_numbers(net: Net) -> None:
    y = net.conv(net.enter("x", (None, 2, 2, 3)), 2, "conv", dead=[0])
    known = known_elements(net.finish([y]))
    assert known["conv"].array.dtype == (np.int32 if net.integer else np.float32)
    assert net.value(y).dtype is (DType.INT8 if net.integer else DType.FLOAT32)


@pytest.mark.parametrize("name", sorted(ZOO))
def test_what_is_known_of_every_animal_holds(name: str) -> None:
    """Every value of every network, in float and as integers, on inputs of its own kind."""
    graph = ZOO[name]()
    integer = quantize_zoo(graph)
    for network, inputs in ((graph, zoo_inputs(graph, 4)), (integer, integer_inputs(graph, integer, 4))):
        if network.states:
            continue
        made = tuple(output for node in network.nodes for output in node.outputs)
        known = known_elements(network)
        for output, array in zip(made, evaluate(dataclasses.replace(network, outputs=made), inputs), strict=True):
            if output in known and network.value(output).shape[0] is None:
                mask, number = known[output].mask[0], known[output].array[0]
                for sample in array.reshape(-1, *mask.shape):
                    np.testing.assert_allclose(sample[mask], number[mask], rtol=1e-4, atol=1e-4, err_msg=output)
