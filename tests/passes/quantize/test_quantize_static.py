"""Static quantization: which values share a grid, how constants are cut, and that the integers compute what the floats did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.data import Data
from edgewright.errors import DataError, ModelError, RecipeError, UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.ir.operator import Operator
from edgewright.ir.verify import verify
from edgewright.lower.integer import lower_integer
from edgewright.ops.add import Add
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.batch_norm import BatchNorm
from edgewright.ops.concat import Concat
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.evaluate import dequantize_outputs, evaluate_in_order, quantize_inputs
from edgewright.ops.log_softmax import LogSoftmax
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.mul import Mul
from edgewright.ops.pad import Pad
from edgewright.ops.prelu import PRelu
from edgewright.ops.relu import Relu
from edgewright.ops.reshape import Reshape
from edgewright.ops.resize import Resize
from edgewright.ops.sigmoid import Sigmoid
from edgewright.ops.slice import Slice
from edgewright.ops.softmax import Softmax
from edgewright.ops.tanh import Tanh
from edgewright.ops.transpose_conv2d import TransposeConv2D
from edgewright.passes.quantize.quantize_static import quantize_static
from edgewright.passes.registry import Context
from edgewright.targets.target import load_target

Reals = NDArray[np.float32]
HOST = load_target("host")


class Builder(GraphBuilder):
    """A float graph over one image input of 6 x 6 x ``channels``."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__("net")
        self.random = np.random.default_rng(0)
        self.x = self.input("x", (None, 6, 6, channels))

    def weights(self, *shape: int, name: str = "weight", scale: float = 0.5) -> str:
        return self.constant(name, (self.random.standard_normal(shape) * scale).astype(np.float32))

    def conv(self, x: str, outputs: int, *, name: str, activation: str = "none", bias: float = 0.1) -> str:
        channels = self.value(x).shape[-1] or 0
        weight, offset = self.weights(outputs, 3, 3, channels, name=f"{name}_w"), self.weights(outputs, name=f"{name}_b", scale=bias)
        return self.node(Conv2D(padding=((1, 1), (1, 1)), activation=activation), [x, weight, offset], name=name)

    def op(self, op: Operator, *inputs: str, name: str = "") -> str:
        return self.node(op, inputs, name=name)


def image(channels: int = 4, count: int = 8, scale: float = 1.0) -> Reals:
    return (np.random.default_rng(1).standard_normal((count, 6, 6, channels)) * scale).astype(np.float32)


def quantize(graph: Graph, *inputs: Reals, **options: object) -> Graph:
    ctx = Context(data=Data(inputs))
    return verify(quantize_static(verify(graph), ctx, **options))


def signal_to_noise_db(first: Reals, second: Reals) -> float:
    noise = float(np.mean((first.astype(np.float64) - second) ** 2))
    return 99.0 if noise == 0.0 else float(10 * np.log10(np.mean(first.astype(np.float64) ** 2) / noise))


def integers_against_floats(graph: Graph, inputs: Sequence[Reals], **options: object) -> list[float]:
    """Quantize, lower and evaluate in integers; the signal-to-noise ratio of each output against float, in dB."""
    integer = lower_integer(quantize(graph, *inputs, **options), HOST)
    assert integer.level is Level.INTEGER
    reals = dequantize_outputs(integer, evaluate_in_order(integer, quantize_inputs(integer, inputs)))
    return [signal_to_noise_db(np.asarray(a, np.float32), b) for a, b in zip(evaluate_in_order(graph, inputs), reals, strict=True)]


def quant(graph: Graph, name: str) -> Quant:
    found = graph.value(name).quant
    assert found is not None
    return found


def nodes_of(graph: Graph, kind: str) -> list[str]:
    return [node.name for node in graph.nodes if node.op.kind == kind]


def test_a_network_of_every_kind_of_layer_stays_close() -> None:
    b = Builder()
    first = b.conv(b.x, 8, name="first", activation="relu")
    deep = b.node(DepthwiseConv2D(padding=((1, 1), (1, 1)), activation="relu6"), [first, b.weights(8, 3, 3, 1), b.weights(8)])
    pooled = b.op(MaxPool2D(), b.op(Add(), first, deep))
    up = b.node(TransposeConv2D(stride=(2, 2)), [pooled, b.weights(4, 2, 2, 8), b.weights(4)])
    flat = b.op(Reshape((None, 144)), up)
    hidden = b.node(Dense("relu"), [flat, b.weights(16, 144, scale=0.1), b.weights(16)])
    out = b.node(Dense(), [hidden, b.weights(5, 16)])
    graph = b.finish([out])
    for ranges in ("minmax", "percentile", "mse"):
        assert integers_against_floats(graph, [image()], ranges=ranges)[0] > 28, ranges


def test_moved_values_share_the_grid_of_their_source() -> None:
    b = Builder()
    name = b.conv(b.x, 4, name="conv")
    chain = [name]
    moves = (
        Pad(((0, 0), (1, 1), (1, 1), (0, 0))),
        MaxPool2D(),
        Resize((8, 8)),
        Slice((0, 0, 0, 0), (None, 4, 8, 4), (1, 2, 1, 1)),
        Reshape((None, 128)),
    )
    for op in moves:
        name = b.op(op, name)
        chain.append(name)
    graph = quantize(b.finish([name]), image())
    assert len({quant(graph, value) for value in chain}) == 1
    assert not nodes_of(lower_integer(graph, HOST), "Requantize")


def test_a_pad_with_a_value_widens_the_grid_and_minus_infinity_does_not() -> None:
    for value, expected in ((-9.0, True), (float("-inf"), False), (float(np.finfo(np.float32).min), False)):
        b = Builder()
        padded = b.op(Pad(((0, 0), (1, 1), (1, 1), (0, 0)), value), b.x, name="padded")
        out = b.op(MaxPool2D((2, 2), (1, 1)), padded)
        graph = b.finish([out])
        quantized = quantize(graph, image())
        low = quant(quantized, "x").scale[0] * (-128 - quant(quantized, "x").zero_point[0])
        assert quant(quantized, "x") == quant(quantized, "padded") == quant(quantized, out)
        assert (low < -8.9) == expected
        assert integers_against_floats(graph, [image()])[0] > 30


def test_joined_values_share_a_grid_unless_others_read_them() -> None:
    b = Builder()
    wide = b.conv(b.x, 4, name="wide", bias=20.0)
    narrow = b.conv(b.x, 4, name="narrow", bias=0.1)
    joined = b.op(Concat(3), wide, narrow, name="joined")
    graph = quantize(b.finish([joined]), image())
    assert quant(graph, "wide") == quant(graph, "narrow") == quant(graph, "joined")

    b = Builder()
    wide = b.conv(b.x, 4, name="wide", bias=20.0)
    narrow = b.conv(b.x, 4, name="narrow", bias=0.1)
    view = b.op(Reshape((None, 36, 1, 4)), narrow, name="view")
    other = b.op(Reshape((None, 36, 1, 4)), wide, name="other")
    joined = b.op(Concat(3), view, other, name="joined")
    graph = b.finish([joined, b.op(Relu(), narrow, name="reader")])
    quantized = quantize(graph, image())
    assert quant(quantized, "narrow") == quant(quantized, "view") != quant(quantized, "joined")
    assert quant(quantized, "wide") == quant(quantized, "other") == quant(quantized, "joined")
    assert nodes_of(lower_integer(quantized, HOST), "Requantize") == ["view_requantized"]
    assert min(integers_against_floats(graph, [image()])) > 30


def test_one_requantize_serves_all_readers() -> None:
    b = Builder()
    wide = b.conv(b.x, 4, name="wide", bias=20.0)
    narrow = b.conv(b.x, 4, name="narrow", bias=0.1)
    joined = b.op(Concat(3), wide, narrow, narrow, name="joined")
    graph = quantize(b.finish([joined, b.op(Relu(), narrow)]), image())
    assert len(nodes_of(lower_integer(graph, HOST), "Requantize")) == 1


def test_a_constant_that_is_joined_takes_the_grid_of_the_result() -> None:
    b = Builder()
    constant = b.constant("c", np.full((1, 6, 6, 2), 7.0, np.float32))
    copy = b.op(Mul(), b.x, b.constant("one", np.ones(4, np.float32)), name="mul")
    fixed = b.input("y", (1, 6, 6, 2))
    joined = b.op(Concat(3), fixed, constant, name="joined")
    graph = quantize(b.finish([joined, copy]), image(4, 1), image(2, 1))
    integer = lower_integer(graph, HOST)
    assert quant(integer, "c") == quant(integer, "joined") == quant(integer, "y")
    assert np.allclose(quant(integer, "c").to_real(integer.array("c")), 7.0, atol=quant(integer, "c").scale[0] / 2)


@pytest.mark.parametrize(
    ("op", "fixed"), [(Softmax(), (1 / 256, -128)), (Sigmoid(), (1 / 256, -128)), (Tanh(), (1 / 128, 0)), (LogSoftmax(), (1 / 16, 127))]
)
def test_fixed_grids_are_kept_and_passed_on(op: Operator, fixed: tuple[float, int]) -> None:
    b = Builder()
    made = b.op(op, b.conv(b.x, 4, name="conv", bias=20.0), name="made")
    flat = b.op(Reshape((None, 144)), made, name="flat")
    graph = quantize(b.finish([flat]), image())
    assert quant(graph, "made") == quant(graph, "flat") == Quant.per_tensor(*fixed)
    assert quant(graph, "conv") != quant(graph, "made")


def test_a_fixed_grid_does_not_clip_what_is_joined_with_it() -> None:
    b = Builder()
    probability = b.op(Softmax(), b.conv(b.x, 4, name="logits"), name="probability")
    wide = b.conv(b.x, 4, name="wide", bias=20.0)
    joined = b.op(Concat(3), probability, wide, name="joined")
    graph = b.finish([joined])
    quantized = quantize(graph, image())
    assert quant(quantized, "probability") == Quant.per_tensor(1 / 256, -128)
    assert quant(quantized, "wide") == quant(quantized, "joined") != quant(quantized, "probability")
    assert integers_against_floats(graph, [image()])[0] > 30

    b = Builder()
    gates = [b.op(op, b.conv(b.x, 4, name=f"c{index}"), name=f"g{index}") for index, op in enumerate((Sigmoid(), Tanh(), Sigmoid()))]
    graph = b.finish([b.op(Concat(3), *gates, name="joined")])
    assert integers_against_floats(graph, [image()])[0] > 30


def test_operand_constants_are_quantized_as_a_whole() -> None:
    b = Builder()
    scaled = b.op(Mul(), b.x, b.constant("scale", np.array([0.5, -2.0, 0.25, 1.0], np.float32)), name="scaled")
    moved = b.op(Add(), b.constant("three", np.array(3.0, np.float32)), scaled, name="moved")
    graph = b.finish([moved])
    quantized = quantize(graph, image())
    assert quant(quantized, "scale").axis is None
    integer = lower_integer(quantized, HOST)
    assert integer.array("three").shape == ()
    assert float(quant(integer, "three").to_real(integer.array("three"))) == pytest.approx(3.0, rel=1e-6)
    assert integers_against_floats(graph, [image()])[0] > 35


def test_prelu_slopes_are_quantized_as_a_whole() -> None:
    b = Builder()
    out = b.op(PRelu(), b.conv(b.x, 4, name="conv"), b.constant("alpha", np.array([0.1, 0.2, -0.3, 1.5], np.float32)), name="prelu")
    graph = b.finish([out])
    assert quant(quantize(graph, image()), "alpha").axis is None
    assert integers_against_floats(graph, [image()])[0] > 30


def test_weights_have_a_scale_for_each_channel_and_use_the_whole_range() -> None:
    b = Builder()
    b.conv(b.x, 4, name="conv")
    graph = lower_integer(quantize(b.finish(["conv"]), image()), HOST)
    weight = graph.array("conv_w")
    assert np.array_equal(np.abs(weight.astype(int)).reshape(4, -1).max(axis=1), [127] * 4)
    assert quant(graph, "conv_w").axis == 0 and quant(graph, "conv_w").zero_point == (0,) * 4
    bias = quant(graph, "conv_b")
    assert bias.dtype is DType.INT32
    expected = np.float32(quant(graph, "x").scale[0]) * np.asarray(quant(graph, "conv_w").scale, np.float32)
    assert np.array_equal(np.asarray(bias.scale, np.float32), expected)


def test_dead_channels_and_large_biases() -> None:
    b = Builder()
    weight = np.random.default_rng(0).standard_normal((4, 1, 1, 4)).astype(np.float32)
    weight[1] = 0.0
    weight[2] *= 1e-20
    bias = np.array([0.1, 3.0, 0.0, 1e9], np.float32)
    out = b.node(Conv2D(), [b.x, b.constant("w", weight), b.constant("b", bias)], name="conv")
    graph = b.finish([out])
    integer = lower_integer(quantize(graph, image()), HOST)
    real = quant(integer, "b").to_real(integer.array("b"))
    assert np.allclose(real, bias, rtol=1e-3)
    assert np.abs(integer.array("b").astype(np.int64)).max() <= 1 << 30
    assert np.all(integer.array("w")[1] == 0)
    assert np.abs(integer.array("w")[2].astype(int)).max() == 127


def test_inputs_and_outputs_that_are_always_zero() -> None:
    b = Builder()
    out = b.conv(b.op(Mul(), b.x, b.constant("zero", np.zeros(4, np.float32))), 4, name="conv", bias=0.0)
    graph = b.finish([out])
    integer = lower_integer(quantize(graph, np.zeros((2, 6, 6, 4), np.float32)), HOST)
    outputs = dequantize_outputs(integer, evaluate_in_order(integer, quantize_inputs(integer, [np.zeros((2, 6, 6, 4), np.float32)])))
    assert not outputs[0].any()


def test_a_weight_that_two_layers_share_is_copied_only_where_it_must_be() -> None:
    b = Builder()
    weight, bias = b.weights(4, 1, 1, 4, name="w"), b.weights(4, name="b")
    first = b.node(Conv2D(activation="relu"), [b.x, weight, bias], name="first")
    second = b.node(Conv2D(), [first, weight, bias], name="second")
    third = b.node(Conv2D(), [first, weight, bias], name="third")
    graph = b.finish([second, third])
    quantized = quantize(graph, image())
    nodes = {node.name: node for node in quantized.nodes}
    assert {nodes[name].inputs[1] for name in nodes} == {"w"}
    assert nodes["first"].inputs[2] == "b" and nodes["second"].inputs[2] == nodes["third"].inputs[2] == "b_second"
    assert min(integers_against_floats(graph, [image()])) > 28


def test_one_constant_as_weight_bias_and_operand() -> None:
    b = Builder()
    vector = b.constant("v", np.array([0.5, 1.0, -1.0, 2.0], np.float32))
    kernel = b.constant("k", np.eye(4, dtype=np.float32))
    dense = b.node(Dense(), [b.x, kernel, vector], name="dense")
    out = b.op(Add(), dense, vector, name="sum")
    graph = b.finish([out, b.op(Add(), b.op(Reshape((1, 1, 4, 4)), kernel, name="view"), b.constant("one", np.float32([1.0])))])
    quantized = quantize(graph, image())
    assert len([name for name in quantized.constants if name.startswith("v")]) == 2
    assert integers_against_floats(graph, [image()])[0] > 35


def test_states_and_their_initial_values_share_a_grid() -> None:
    b = GraphBuilder("net")
    x = b.input("x", (None, 4))
    initial = b.constant("initial", np.full((1, 4), 0.5, np.float32))
    for name in ("s", "late"):
        b.state(name, (None, 4), initial)
    mixed = b.node(Add(), [x, b.node(Mul(), ["s", b.constant("half", np.array(0.5, np.float32))])], name="mixed")
    b.write_state("s", mixed)
    b.write_state("late", "s")
    graph = b.finish([mixed, b.node(Tanh(), ["late"], name="squashed")])
    inputs = (np.random.default_rng(0).standard_normal((200, 4)) * 3).astype(np.float32)
    quantized = quantize(graph, inputs)
    assert quant(quantized, "s") == quant(quantized, "mixed") == quant(quantized, "late") == quant(quantized, "initial")
    # The range of the stream, not of a first call: the sum goes beyond what one input can be.
    low, high = (quant(quantized, "s").scale[0] * (end - quant(quantized, "s").zero_point[0]) for end in (-128, 127))
    seen = evaluate_in_order(graph, [inputs])[0]
    assert low <= seen.min() + 0.1 and seen.max() - 0.1 <= high and seen.max() > inputs.max()
    assert min(integers_against_floats(graph, [inputs])) > 25


def test_a_state_written_on_a_fixed_grid_is_requantized() -> None:
    b = GraphBuilder("net")
    x = b.input("x", (None, 4))
    b.state("s", (None, 4), b.constant("initial", np.full((1, 4), 5.0, np.float32)))
    out = b.node(Sigmoid(), [b.node(Add(), [x, "s"])], name="gate")
    b.write_state("s", out)
    graph = b.finish([out])
    inputs = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    integer = lower_integer(quantize(graph, inputs), HOST)
    assert quant(integer, "s") == quant(integer, integer.states[0].write) == quant(integer, integer.states[0].initial)
    assert integer.states[0].write == "gate_requantized"
    assert min(integers_against_floats(graph, [inputs])) > 25


def test_unused_inputs_and_outputs_that_are_inputs_or_constants() -> None:
    b = Builder()
    b.input("unused", (None, 3))
    constant = b.constant("answer", np.array([[42.0]], np.float32))
    out = b.conv(b.x, 4, name="conv")
    graph = quantize(b.finish([out, b.x, constant]), image(), np.ones((8, 3), np.float32))
    assert all(value.quant is not None for value in graph.values.values())
    integer = lower_integer(graph, HOST)
    assert integer.outputs == ("conv", "x", "answer")
    assert float(quant(integer, "answer").to_real(integer.array("answer"))[0, 0]) == pytest.approx(42.0, rel=1e-6)


def test_values_without_elements() -> None:
    b = GraphBuilder("net")
    x, empty = b.input("x", (None, 4)), b.input("empty", (None, 0))
    graph = b.finish([b.node(Concat(1), [x, empty])])
    quantized = quantize(graph, np.ones((3, 4), np.float32), np.ones((3, 0), np.float32))
    assert quantized.level is Level.QUANTIZED


def test_average_pooling_shares_its_grid_with_fused_activation() -> None:
    b = Builder()
    out = b.op(AveragePool2D(activation="relu"), b.conv(b.x, 4, name="conv"), name="pool")
    graph = b.finish([out])
    quantized = quantize(graph, image())
    assert quant(quantized, "pool") == quant(quantized, "conv")
    assert integers_against_floats(graph, [image()])[0] > 30


def test_batch_norm_is_refused_by_name_before_any_work() -> None:
    b = Builder()
    ones = b.constant("ones", np.ones(4, np.float32))
    graph = b.finish([b.node(BatchNorm(1e-5), [b.x, ones, ones, ones, ones], name="bn7")])
    with pytest.raises(UnsupportedError, match="no integer form for BatchNorm 'bn7'") as caught:
        quantize_static(graph, Context())
    assert "fold batch norm first" in caught.value.hint


def test_computed_weights_are_refused_by_name() -> None:
    b = GraphBuilder("net")
    x, w, v = b.input("x", (None, 4)), b.input("w", (3, 4)), b.input("v", (3,))
    graph = b.finish([b.node(Dense(), [x, w], name="matmul")])
    with pytest.raises(UnsupportedError, match="weights of Dense 'matmul' are computed at run time"):
        quantize(graph, np.ones((1, 4), np.float32), np.ones((3, 4), np.float32), np.ones(3, np.float32))
    b2 = GraphBuilder("net")
    x, v = b2.input("x", (None, 4)), b2.input("v", (3,))
    graph = b2.finish([b2.node(Dense(), [x, b2.constant("w", np.ones((3, 4), np.float32)), v], name="fc")])
    with pytest.raises(UnsupportedError, match="bias of Dense 'fc' is computed at run time"):
        quantize(graph, np.ones((3, 4), np.float32), np.ones(3, np.float32))


def test_numbers_that_are_not_finite_are_named() -> None:
    b = Builder()
    graph = b.finish([b.op(Mul(), b.x, b.constant("bad", np.array([1, np.nan, 1, 1], np.float32)))])
    with pytest.raises(ModelError, match="constant 'bad' holds numbers that are not finite"):
        quantize(graph, image())
    b = Builder()
    huge = b.op(Mul(), b.x, b.constant("huge", np.full(4, 3e38, np.float32)), name="overflow")
    with pytest.raises(DataError, match="value 'overflow' is not finite"):
        quantize(b.finish([huge]), image(scale=100))


def test_no_data_and_bad_options() -> None:
    b = Builder()
    graph = b.finish([b.conv(b.x, 4, name="conv")])
    with pytest.raises(RecipeError, match="quantize_static needs calibration data and got none") as caught:
        quantize_static(graph, Context())
    assert "--data" in caught.value.hint
    with pytest.raises(RecipeError, match="unknown range method 'max'"):
        quantize(graph, image(), ranges="max")
    with pytest.raises(RecipeError, match="percentile must lie above 50"):
        quantize(graph, image(), ranges="percentile", percentile=12.0)


def test_the_argument_stays_untouched_and_the_result_is_the_same_every_time() -> None:
    b = Builder()
    graph = b.finish([b.conv(b.x, 4, name="conv")])
    before = graph.digest
    assert quantize(graph, image()).digest == quantize(graph, image()).digest
    assert graph.digest == before
