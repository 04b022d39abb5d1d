from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch

from edgewright.errors import DataError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level, Value
from edgewright.ops.add import Add
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.dequantize import Dequantize
from edgewright.ops.evaluate import (
    check_inputs,
    constant_tensors,
    dequantize_outputs,
    evaluate,
    evaluate_in_order,
    fake_quantize,
    fast_chunk,
    quantize_inputs,
)
from edgewright.ops.mean import Mean
from edgewright.ops.quantize import Quantize
from edgewright.ops.relu import Relu

EIGHTH = Quant.per_tensor(0.125, 3)


def small_network(batch: int | None = None, *, level: Level = Level.FLOAT) -> Graph:
    """Convolution, mean, dense: enough for every level."""
    rng = np.random.default_rng(0)
    builder = GraphBuilder("small", level)
    on_grid = level is not Level.FLOAT
    integer = level is Level.INTEGER
    data = DType.INT8 if integer else DType.FLOAT32

    def constant(name: str, array: np.ndarray, scale: float) -> str:
        quant = Quant.per_tensor(scale, 0, DType.INT32 if name == "bias" else DType.INT8)
        array = quant.to_integer(array) if integer else array
        return builder.constant(name, array, quant=quant if on_grid else None)

    def node(op: Conv2D | Mean | Dense, *inputs: str) -> str:
        return builder.node(op, inputs, dtype=data, quants=[EIGHTH if on_grid else None])

    x = builder.input("x", (batch, 5, 5, 2), data, EIGHTH if on_grid else None)
    weight = constant("weight", rng.normal(size=(4, 3, 3, 2)).astype(np.float32), 0.0193)
    bias = constant("bias", rng.normal(size=4).astype(np.float32), 0.125 * 0.0193)
    x = node(Mean((1, 2)), node(Conv2D(activation="relu"), x, weight, bias))
    return builder.finish([node(Dense(), x, constant("head", rng.normal(size=(3, 4)).astype(np.float32), 0.0193))])


def counting_network(batch: int | None) -> Graph:
    """Its output, and its state, is the sum of all inputs so far."""
    builder = GraphBuilder("counting")
    x = builder.input("x", (batch, 2))
    total = builder.state("total", (batch, 2), builder.constant("zero", np.zeros((1, 2), np.float32)))
    added = builder.node(Add(), [total, x], name="added")
    builder.write_state(total, added)
    return builder.finish([added])


def images(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 5, 5, 2)).astype(np.float32)


@pytest.mark.parametrize("level", list(Level))
def test_chunks_and_fixed_batches_change_nothing(level: Level) -> None:
    graph = small_network(level=level)
    inputs = quantize_inputs(graph, [images(12)])
    (whole,) = evaluate(graph, inputs)
    assert whole.shape == (12, 3)
    assert whole.dtype == (np.int8 if level is Level.INTEGER else np.float32)
    for other in (evaluate(graph, inputs, chunk=5), evaluate(graph, inputs, chunk=1),
                  evaluate(small_network(1, level=level), inputs), evaluate(small_network(4, level=level), inputs)):
        np.testing.assert_allclose(other[0], whole, rtol=0, atol=0 if level is Level.INTEGER else 1e-5)


def test_levels_agree() -> None:
    real = evaluate(small_network(), [images(50)])[0]
    quantized = evaluate(small_network(level=Level.QUANTIZED), [images(50)])[0]
    integer = small_network(level=Level.INTEGER)
    got = dequantize_outputs(integer, evaluate(integer, quantize_inputs(integer, [images(50)])))[0]
    assert np.abs(quantized - np.clip(real, -16, 15)).max() < 0.3
    # The two roundings of the mean differ from one in a tenth of its results, and a step of it is worth up to two at the end.
    assert np.abs(got - quantized).max() <= 0.25 and (got != quantized).mean() < 0.35
    assert set(np.unique(np.mod(quantized, 0.125))) == {0.0}


def test_no_samples_give_no_outputs() -> None:
    assert evaluate(small_network(), [images(0)])[0].shape == (0, 3)


def test_inputs_outputs_and_constants_may_be_outputs() -> None:
    builder = GraphBuilder("through")
    x = builder.input("x", (None, 2))
    constant = builder.constant("c", np.arange(3, dtype=np.float32))
    graph = builder.finish([x, constant, builder.node(Relu(), [x])])
    data = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    through, same, relu = evaluate(graph, [data], chunk=2)
    np.testing.assert_array_equal(through, data)
    np.testing.assert_array_equal(same, [0, 1, 2])
    np.testing.assert_array_equal(relu, np.maximum(data, 0))


def test_the_chunk_follows_the_largest_value() -> None:
    def chunk(height: int) -> int:
        builder = GraphBuilder("one")
        return fast_chunk(builder.finish([builder.node(Relu(), [builder.input("x", (None, height, 8))])]))

    assert chunk(1) == 1024
    assert chunk(1 << 11) == 64
    assert chunk(1 << 20) == 1


@pytest.mark.parametrize("batch", [None, 1])
def test_states(batch: int | None) -> None:
    graph = counting_network(batch)
    data = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.testing.assert_array_equal(evaluate(graph, [data])[0], data)
    np.testing.assert_array_equal(evaluate_in_order(graph, [data])[0], data.cumsum(0))
    states: dict[str, torch.Tensor] = {}
    sums = [evaluate(graph, [data[index:index + 1]], states=states)[0] for index in range(4)]
    np.testing.assert_array_equal(np.concatenate(sums), data.cumsum(0))
    np.testing.assert_array_equal(states["total"].numpy(), data.sum(0, keepdims=True))


def test_every_sample_of_a_symbolic_batch_has_its_own_states() -> None:
    states: dict[str, torch.Tensor] = {}
    data = np.arange(8, dtype=np.float32).reshape(4, 2)
    evaluate(counting_network(None), [data], states=states)
    np.testing.assert_array_equal(evaluate(counting_network(None), [data], states=states)[0], 2 * data)
    with pytest.raises(DataError, match="takes one batch of its size at a time, got 4"):
        evaluate(counting_network(1), [data], states={})


def test_samples_in_order_without_states_are_as_any_other() -> None:
    np.testing.assert_array_equal(evaluate_in_order(small_network(), [images(7)])[0], evaluate(small_network(), [images(7)])[0])


def test_observers_see_inputs_and_results_in_order() -> None:
    seen: list[tuple[str, tuple[int, ...]]] = []
    evaluate(small_network(), [images(5)], observe=lambda value, x: seen.append((value.name, tuple(x.shape))), chunk=3)
    names = ["x", "conv2d", "mean", "dense"]
    assert [name for name, _ in seen] == names * 2
    assert [shape[0] for _, shape in seen] == [3] * 4 + [2] * 4


def float_edges() -> Graph:
    """An integer graph whose input and output are reals."""
    builder = GraphBuilder("edges", Level.INTEGER)
    x = builder.input("x", (None, 4))
    q = builder.node(Quantize(), [x], dtype=DType.INT8, quants=[EIGHTH])
    doubled = builder.node(Add(), [q, q], dtype=DType.INT8, quants=[Quant.per_tensor(0.25, 3)])
    return builder.finish([builder.node(Dequantize(), [doubled], dtype=DType.FLOAT32, quants=[None]), doubled])


def test_float_edges_of_an_integer_graph() -> None:
    x = np.array([[0.0, 0.125, -0.25, 100.0]])
    real, integer = evaluate(float_edges(), [x])
    assert real.dtype == np.float32 and integer.dtype == np.int8
    np.testing.assert_allclose(real, [[0.0, 0.25, -0.5, 31.0]])
    np.testing.assert_array_equal(integer, [[3, 4, 1, 127]])
    assert dequantize_outputs(float_edges(), [real, integer])[0] is not None


def build(make: Callable[[GraphBuilder], list[str]]) -> Graph:
    builder = GraphBuilder("two")
    return builder.finish(make(builder))


def test_several_inputs() -> None:
    graph = build(lambda b: [b.node(Add(), [b.input("x", (None, 3)), b.input("y", (None, 1))])])
    x, y = np.ones((4, 3), np.float32), np.arange(4, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(evaluate(graph, [x, y], chunk=3)[0], x + y)
    fixed = build(lambda b: [b.node(Add(), [b.input("x", (2, 3)), b.input("y", (1, 1))])])
    np.testing.assert_array_equal(evaluate(fixed, [np.concatenate([x, x]), y])[0], np.concatenate([x, x]) + np.repeat(y, 2, 0))


def test_an_input_without_a_batch_goes_whole_into_every_chunk() -> None:
    graph = build(lambda b: [b.node(Add(), [b.input("x", (None, 3)), b.input("y", (3,))])])
    x, y = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([1.0, 2.0, 3.0], np.float32)
    np.testing.assert_array_equal(evaluate(graph, [x, y], chunk=3)[0], x + y)
    with pytest.raises(DataError, match="has 6 along axis 0, the network takes 3"):
        evaluate(graph, [x, np.concatenate([y, y])])


@pytest.mark.parametrize(
    ("graph", "inputs", "message"),
    [
        (small_network(), [], "takes 1 inputs, got 0"),
        (small_network(), [np.zeros((2, 5, 5, 3), np.float32)], r"has shape \[2, 5, 5, 3\], the network takes \[None, 5, 5, 2\]"),
        (small_network(), [np.zeros((5, 5, 2), np.float32)], "axis 0 is the batch"),
        (small_network(4), [images(6)], "has 6 along axis 0, the network takes 4 at a time"),
        (small_network(4), [images(0)], "has 0 along axis 0"),
        (small_network(level=Level.INTEGER), [images(2)], "is float32, the network takes int8"),
    ],
)
def test_inputs_that_do_not_fit_are_an_error(graph: Graph, inputs: list[np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_inputs(graph, inputs)


def test_inputs_with_different_numbers_of_samples_are_an_error() -> None:
    graph = build(lambda b: [b.node(Add(), [b.input("x", (None, 3)), b.input("y", (None, 1))])])
    with pytest.raises(DataError, match="differ in their number of samples"):
        evaluate(graph, [np.zeros((4, 3)), np.zeros((3, 1))])


def test_fake_quantize_and_constants_stand_on_their_grids() -> None:
    x = torch.tensor([[-100.0, -0.07, 0.0, 0.06, 0.0625, 0.1875, 100.0]])
    assert fake_quantize(x, EIGHTH).tolist() == [[-16.375, -0.125, 0.0, 0.0, 0.0, 0.25, 15.5]]
    per_channel = Quant.per_axis(np.array([0.5, 1.0], np.float32), 1)
    assert fake_quantize(torch.tensor([[0.7, 0.7]]), per_channel).tolist() == [[0.5, 1.0]]
    constants = constant_tensors(small_network(level=Level.QUANTIZED))
    steps = constants["weight"].double() / np.float32(0.0193)
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-5)
    assert constant_tensors(small_network(level=Level.INTEGER))["weight"].dtype == torch.int32


def test_values_are_dropped_after_their_last_reader() -> None:
    builder = GraphBuilder("chain")
    x = builder.input("x", (None, 4))
    for _ in range(6):
        x = builder.node(Relu(), [x])
    seen: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def observe(value: Value, x: torch.Tensor) -> None:
        seen.append(weakref.ref(x))
        alive.append(sum(ref() is not None for ref in seen))

    evaluate(builder.finish([x]), [np.ones((2, 4), np.float32)], observe=observe)
    assert len(seen) == 7 and max(alive[2:]) <= 3
