"""The zoo: tiny graphs, each with a reason to exist. Every pass, lowering step and emitter is tested on all of them.

An animal is a function that returns a graph; its docstring says why it is kept. Weights are random but seeded, of the magnitude that
trained networks have. ``ZOO`` holds float graphs, ``INTEGER_ZOO`` those that only exist at the integer level.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgewright.data import Data
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.lower.integer import lower_integer
from edgewright.ops import (
    ELU,
    GELU,
    GRU,
    LSTM,
    Abs,
    Add,
    AveragePool2D,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    Embedding,
    HardSigmoid,
    HardSwish,
    LayerNorm,
    LeakyRelu,
    LogSoftmax,
    MatMul,
    MaxPool2D,
    Mean,
    Mish,
    Mul,
    Pad,
    PRelu,
    Quantize,
    Relu,
    Relu6,
    Requantize,
    Reshape,
    Resize,
    Rsqrt,
    Sigmoid,
    SiLU,
    Slice,
    Softmax,
    Softplus,
    Sub,
    Tanh,
    Transpose,
    TransposeConv2D,
)
from edgewright.ops.convolution import Padding
from edgewright.ops.evaluate import quantize_inputs, rows_to_choose
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.recipe import CLEAN
from edgewright.targets.target import load_target

Animal = Callable[[], Graph]
ZOO: dict[str, Animal] = {}
INTEGER_ZOO: dict[str, Animal] = {}
SAME = ((1, 1), (1, 1))


def animal(function: Animal) -> Animal:
    ZOO[function.__name__] = function
    return function


def integer_animal(function: Animal) -> Animal:
    INTEGER_ZOO[function.__name__] = function
    return function


class Net(GraphBuilder):
    """A builder with layers that bring their own random weights."""

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name)
        self.rng = np.random.default_rng(seed)

    def weight(self, name: str, shape: tuple[int, ...], fan_in: int) -> str:
        return self.constant(name, self.rng.normal(0, math.sqrt(2 / fan_in), shape).astype(np.float32))

    def vector(self, name: str, size: int, low: float = -0.3, high: float = 0.3) -> str:
        return self.constant(name, self.rng.uniform(low, high, size).astype(np.float32))

    def conv(
        self,
        x: str,
        outputs: int,
        kernel: tuple[int, int] = (3, 3),
        *,
        stride: tuple[int, int] = (1, 1),
        padding: Padding = SAME,
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        activation: str = "none",
        bias: bool = True,
        name: str = "conv",
    ) -> str:
        channels = int(self.value(x).shape[3] or 0) // groups
        weight = self.weight(f"{name}_weight", (outputs, *kernel, channels), kernel[0] * kernel[1] * channels)
        inputs = [x, weight, self.vector(f"{name}_bias", outputs)] if bias else [x, weight]
        return self.node(Conv2D(stride, padding, dilation, groups, activation), inputs, name=name)

    def depthwise(
        self,
        x: str,
        kernel: tuple[int, int] = (3, 3),
        *,
        stride: tuple[int, int] = (1, 1),
        padding: Padding = SAME,
        dilation: tuple[int, int] = (1, 1),
        multiplier: int = 1,
        activation: str = "none",
        bias: bool = True,
        name: str = "depthwise",
    ) -> str:
        outputs = int(self.value(x).shape[3] or 0) * multiplier
        weight = self.weight(f"{name}_weight", (outputs, *kernel, 1), kernel[0] * kernel[1])
        inputs = [x, weight, self.vector(f"{name}_bias", outputs)] if bias else [x, weight]
        return self.node(DepthwiseConv2D(stride, padding, dilation, multiplier, activation), inputs, name=name)

    def dense(self, x: str, outputs: int, activation: str = "none", *, bias: bool = True, name: str = "dense") -> str:
        size = int(self.value(x).shape[-1] or 0)
        weight = self.weight(f"{name}_weight", (outputs, size), size)
        inputs = [x, weight, self.vector(f"{name}_bias", outputs)] if bias else [x, weight]
        return self.node(Dense(activation), inputs, name=name)

    def norm(self, x: str, name: str = "norm") -> str:
        size = int(self.value(x).shape[-1] or 0)
        constants = [
            self.vector(f"{name}_scale", size, 0.5, 1.5),
            self.vector(f"{name}_offset", size),
            self.vector(f"{name}_mean", size),
            self.vector(f"{name}_variance", size, 0.3, 2.0),
        ]
        return self.node(BatchNorm(1e-3), [x, *constants], name=name)

    def classify(self, x: str, classes: int = 5) -> str:
        """Global average pooling, a dense layer and softmax."""
        pooled = self.node(Mean((1, 2)), [x], name="pool")
        return self.node(Softmax(), [self.dense(pooled, classes, name="head")], name="softmax")

    def flatten(self, x: str) -> str:
        return self.node(Reshape((None, self.value(x).elements)), [x], name="flatten")


@animal
def conv_same_relu() -> Graph:
    """The most common layer: 3x3, stride 1, padded to the same size, fused relu."""
    net = Net("conv_same_relu", 1)
    return net.finish([net.conv(net.input("x", (None, 8, 8, 3)), 8, activation="relu")])


@animal
def conv_valid_no_bias() -> Graph:
    """No padding, no bias, stride 2, a kernel that does not divide the size."""
    net = Net("conv_valid_no_bias", 2)
    return net.finish([net.conv(net.input("x", (None, 9, 7, 4)), 5, stride=(2, 2), padding=((0, 0), (0, 0)), bias=False)])


@animal
def conv_asymmetric_padding() -> Graph:
    """TensorFlow's SAME at stride 2: padding below and right only, and other sizes along the two axes."""
    net = Net("conv_asymmetric_padding", 3)
    x = net.input("x", (None, 10, 8, 2))
    y = net.conv(x, 6, stride=(2, 2), padding=((0, 1), (0, 1)), activation="relu6")
    return net.finish([net.conv(y, 3, (5, 2), stride=(1, 2), padding=((2, 2), (1, 0)), activation="relu_n1_to_1", name="wide")])


@animal
def conv_dilated() -> Graph:
    """Dilation, other along the two axes."""
    net = Net("conv_dilated", 4)
    return net.finish([net.conv(net.input("x", (None, 11, 9, 3)), 4, dilation=(3, 2), padding=((3, 3), (2, 2)))])


@animal
def conv_grouped() -> Graph:
    """Groups, which few runtimes have as one operator."""
    net = Net("conv_grouped", 5)
    y = net.conv(net.input("x", (None, 6, 6, 6)), 9, groups=3, activation="relu")
    return net.finish([net.conv(y, 4, (1, 1), padding=((0, 0), (0, 0)), name="pointwise")])


@animal
def conv_1d() -> Graph:
    """A one-dimensional network, written with height 1."""
    net = Net("conv_1d", 6)
    y = net.conv(net.input("x", (None, 1, 40, 3)), 8, (1, 7), stride=(1, 2), padding=((0, 0), (3, 3)), activation="relu")
    y = net.node(MaxPool2D((1, 2), (1, 2)), [y], name="pool")
    y = net.conv(y, 8, (1, 3), padding=((0, 0), (1, 1)), activation="relu", name="second")
    return net.finish([net.classify(y, 4)])


@animal
def temporal_convolution() -> Graph:
    """A temporal convolutional network: causal padding (left only), growing dilation, residual additions."""
    net = Net("temporal_convolution", 7)
    y = net.conv(net.input("x", (None, 1, 32, 4)), 8, (1, 1), padding=((0, 0), (0, 0)), name="stem")
    for dilation in (1, 2, 4):
        step = net.conv(
            y, 8, (1, 3), dilation=(1, dilation), padding=((0, 0), (2 * dilation, 0)), activation="relu", name=f"block{dilation}"
        )
        y = net.node(Add(), [y, step], name=f"add{dilation}")
    last = net.node(Slice((0, 0, 31, 0), (None, 1, 1, 8), (1, 1, 1, 1)), [y], name="last")
    return net.finish([net.dense(net.flatten(last), 3)])


@animal
def depthwise_multiplier() -> Graph:
    """Depthwise convolutions with multipliers 1 and 2, stride and dilation."""
    net = Net("depthwise_multiplier", 8)
    y = net.depthwise(net.input("x", (None, 9, 9, 4)), multiplier=2, stride=(2, 2), activation="relu6")
    y = net.depthwise(y, (3, 5), dilation=(2, 1), padding=((2, 2), (2, 2)), name="dilated", bias=False)
    return net.finish([y])


@animal
def transpose_convolution() -> Graph:
    """A decoder: transpose convolutions with stride, cut edges and output padding."""
    net = Net("transpose_convolution", 9)
    y = net.input("x", (None, 4, 5, 3))
    weight = net.weight("first_weight", (6, 3, 3, 3), 7)
    y = net.node(TransposeConv2D((2, 2), SAME, (1, 1), "relu"), [y, weight, net.vector("first_bias", 6)], name="first")
    weight = net.weight("second_weight", (2, 2, 2, 6), 6)
    return net.finish([net.node(TransposeConv2D((2, 2)), [y, weight], name="second")])


@animal
def dense_autoencoder() -> Graph:
    """The MLPerf Tiny anomaly detector in small: dense layers with batch norm and relu, a narrow middle, a wide output."""
    net = Net("dense_autoencoder", 10)
    y = net.input("x", (None, 40))
    for index, size in enumerate((24, 24, 6, 24)):
        y = net.node(Relu(), [net.norm(net.dense(y, size, name=f"dense{index}"), f"norm{index}")], name=f"relu{index}")
    return net.finish([net.dense(y, 40, name="out")])


@animal
def dense_on_sequence() -> Graph:
    """Dense on a tensor of three axes, as torch's Linear allows."""
    net = Net("dense_on_sequence", 11)
    y = net.dense(net.input("x", (None, 7, 6)), 10, "relu", bias=False)
    return net.finish([net.dense(net.flatten(y), 4, name="head")])


@animal
def residual_batch_norm() -> Graph:
    """ResNet's blocks as a framework exports them: convolution, batch norm, relu; one identity and one projected shortcut."""
    net = Net("residual_batch_norm", 12)
    y = net.node(Relu(), [net.norm(net.conv(net.input("x", (None, 8, 8, 3)), 8, bias=False, name="stem"), "stem_norm")], name="stem_relu")
    step = net.node(Relu(), [net.norm(net.conv(y, 8, bias=False, name="a1"), "a1_norm")], name="a1_relu")
    step = net.norm(net.conv(step, 8, bias=False, name="a2"), "a2_norm")
    y = net.node(Relu(), [net.node(Add(), [step, y], name="a_add")], name="a_relu")
    step = net.node(Relu(), [net.norm(net.conv(y, 12, stride=(2, 2), bias=False, name="b1"), "b1_norm")], name="b1_relu")
    step = net.norm(net.conv(step, 12, bias=False, name="b2"), "b2_norm")
    short = net.norm(net.conv(y, 12, (1, 1), stride=(2, 2), padding=((0, 0), (0, 0)), bias=False, name="short"), "short_norm")
    y = net.node(Relu(), [net.node(Add(), [step, short], name="b_add")], name="b_relu")
    return net.finish([net.classify(y)])


@animal
def inverted_bottleneck() -> Graph:
    """MobileNetV2's block with batch norm and relu6, and its residual addition without activation."""
    net = Net("inverted_bottleneck", 13)
    y = net.node(
        Relu6(),
        [net.norm(net.conv(net.input("x", (None, 12, 12, 3)), 4, stride=(2, 2), padding=((0, 1), (0, 1)), bias=False))],
        name="relu",
    )
    for index in range(2):
        step = net.conv(y, 12, (1, 1), padding=((0, 0), (0, 0)), bias=False, name=f"expand{index}")
        step = net.node(Relu6(), [net.norm(step, f"expand{index}_norm")], name=f"expand{index}_relu")
        step = net.node(Relu6(), [net.norm(net.depthwise(step, bias=False, name=f"spatial{index}"), f"spatial{index}_norm")])
        step = net.norm(net.conv(step, 4, (1, 1), padding=((0, 0), (0, 0)), bias=False, name=f"project{index}"), f"project{index}_norm")
        y = net.node(Add(), [y, step], name=f"add{index}")
    return net.finish([net.classify(y)])


@animal
def separable_keyword_spotter() -> Graph:
    """The MLPerf Tiny keyword spotter in small: a tall first kernel, depthwise-separable blocks, average pooling, softmax."""
    net = Net("separable_keyword_spotter", 14)
    y = net.conv(net.input("x", (None, 25, 10, 1)), 8, (10, 4), stride=(2, 2), padding=((4, 5), (1, 1)), activation="relu")
    for index in range(2):
        y = net.depthwise(y, activation="relu", name=f"spatial{index}")
        y = net.conv(y, 8, (1, 1), padding=((0, 0), (0, 0)), activation="relu", name=f"mix{index}")
    height, width = (int(size or 0) for size in net.value(y).shape[1:3])
    y = net.node(AveragePool2D((height, width), (height, width)), [y], name="pool")
    return net.finish([net.node(Softmax(), [net.dense(net.flatten(y), 6)], name="softmax")])


@animal
def inception_branches() -> Graph:
    """Branches of different depth that a concatenation joins, one of them read twice."""
    net = Net("inception_branches", 15)
    x = net.conv(net.input("x", (None, 8, 8, 3)), 6, activation="relu", name="stem")
    narrow = net.conv(x, 4, (1, 1), padding=((0, 0), (0, 0)), activation="relu", name="narrow")
    wide = net.conv(narrow, 5, activation="relu", name="wide")
    pooled = net.node(MaxPool2D((3, 3), (1, 1), SAME), [x], name="pooled")
    y = net.node(Concat(3), [narrow, wide, pooled], name="join")
    return net.finish([net.classify(y)])


@animal
def ghost_modules() -> Graph:
    """GhostNet's block: half of the channels computed, the others by a depthwise filter on those, joined; a residual around two modules."""
    net = Net("ghost_modules", 41)
    x = net.conv(net.input("x", (None, 8, 8, 3)), 8, activation="relu", name="stem")
    y = x
    for index, (channels, activation) in enumerate(((12, "relu"), (8, "none"))):
        half = net.conv(y, channels // 2, (1, 1), padding=((0, 0), (0, 0)), activation=activation, name=f"computed{index}")
        y = net.node(Concat(3), [half, net.depthwise(half, activation=activation, name=f"ghosts{index}")], name=f"module{index}")
    y = net.node(Add(), [x, y], name="residual")
    return net.finish([net.classify(net.conv(y, 10, activation="relu6", name="last"))])


@animal
def channel_shuffle() -> Graph:
    """ShuffleNet's unit: split in two, transform one half, concatenate, shuffle by reshape, transpose, reshape."""
    net = Net("channel_shuffle", 16)
    x = net.conv(net.input("x", (None, 6, 6, 3)), 8, activation="relu", name="stem")
    left = net.node(Slice((0, 0, 0, 0), (None, 6, 6, 4), (1, 1, 1, 1)), [x], name="left")
    right = net.node(Slice((0, 0, 0, 4), (None, 6, 6, 4), (1, 1, 1, 1)), [x], name="right")
    right = net.conv(right, 4, (1, 1), padding=((0, 0), (0, 0)), activation="relu", name="mix")
    y = net.node(Concat(3), [left, net.depthwise(right)], name="join")
    y = net.node(Reshape((None, 6, 6, 2, 4)), [y], name="split")
    y = net.node(Transpose((0, 1, 2, 4, 3)), [y], name="swap")
    y = net.node(Reshape((None, 6, 6, 8)), [y], name="merge")
    return net.finish([net.classify(y)])


@animal
def pooling() -> Graph:
    """Pools with padding (which average pooling does not count), overlapping windows, fused activations, global max pooling."""
    net = Net("pooling", 17)
    y = net.node(AveragePool2D((3, 3), (2, 2), ((1, 1), (1, 1)), "relu"), [net.input("x", (None, 11, 9, 4))], name="average")
    y = net.node(MaxPool2D((2, 3), (1, 1), ((1, 0), (1, 1)), "relu6"), [net.conv(y, 6)], name="max")
    height, width = (int(size or 0) for size in net.value(y).shape[1:3])
    y = net.node(MaxPool2D((height, width), (1, 1)), [y], name="global_max")
    return net.finish([net.dense(net.flatten(y), 3)])


@animal
def means() -> Graph:
    """Mean over other axes than the two spatial ones, with and without keeping them."""
    net = Net("means", 18)
    x = net.conv(net.input("x", (None, 5, 6, 3)), 4)
    rows = net.node(Mean((1,), keep_dims=True), [x], name="rows")
    flat = net.node(Mean((1, 2), keep_dims=True), [net.node(Sub("relu"), [x, rows], name="centred")], name="flat")
    return net.finish([rows, net.node(Mean((2,)), [x], name="columns"), flat])


@animal
def log_softmax_head() -> Graph:
    """LogSoftmax, and a softmax with another beta, on the same logits."""
    net = Net("log_softmax_head", 19)
    logits = net.dense(net.dense(net.input("x", (None, 12)), 16, "relu", name="hidden"), 7, name="logits")
    return net.finish([net.node(LogSoftmax(), [logits], name="log"), net.node(Softmax(2.0), [logits], name="sharp")])


@animal
def activations() -> Graph:
    """Every activation of TensorFlow Lite Micro on its own, none of them fused away: each stands on a value that others read too."""
    net = Net("activations", 20)
    x = net.conv(net.input("x", (None, 4, 4, 3)), 6)
    every = [Relu(), Relu6(), LeakyRelu(0.1), LeakyRelu(-0.3), Sigmoid(), Tanh(), HardSwish()]
    return net.finish([net.node(op, [x]) for op in every])


@animal
def more_activations() -> Graph:
    """ELU and the absolute value, whose input and output grids differ and, behind a clamp at zero, are one."""
    net = Net("more_activations", 51)
    x = net.conv(net.input("x", (None, 4, 4, 3)), 6)
    same = net.node(Abs(), [net.node(Relu(), [x])], name="same")
    return net.finish([net.node(ELU(), [x], name="elu"), net.node(Abs(), [x], name="size"), same])


@animal
def rare_activations() -> Graph:
    """Activations that .tflite does not have: Mish, Softplus, and ELU with another alpha."""
    net = Net("rare_activations", 52)
    y = net.node(Mish(), [net.conv(net.input("x", (None, 4, 4, 3)), 6)], name="mish")
    y = net.node(Softplus(), [net.conv(y, 4, name="b")], name="softplus")
    return net.finish([net.node(ELU(0.5), [net.conv(y, 4, name="c")], name="elu")])


@animal
def table_activations() -> Graph:
    """The activations whose integer form is a table of their float function, on their own."""
    net = Net("table_activations", 38)
    x = net.conv(net.input("x", (None, 4, 4, 3)), 6)
    return net.finish([net.node(op, [x]) for op in (HardSigmoid(), HardSigmoid(0.2, 0.4), SiLU(), GELU(), GELU(True))])


def _attend(net: Net, x: str, heads: int, width: int, *, queries: int | None = None) -> str:
    """Attention of ``heads`` of ``width`` over the sequence (N, T, C) ``x``; ``queries``: so many that stand in the network itself."""
    steps = int(net.value(x).shape[1] or 1)

    def head(name: str) -> str:
        flat = net.node(Reshape((None, steps, heads, width)), [net.dense(x, heads * width, name=name)], name=f"{name}_heads")
        return net.node(Transpose((0, 2, 1, 3)), [flat], name=f"{name}_turned")

    query = head("query") if queries is None else net.constant("query", net.rng.normal(0, 1, (1, heads, queries, width)).astype(np.float32))
    scores = net.node(MatMul(transposed=True), [query, head("key")], name="scores")
    shares = net.node(Softmax(width**-0.5), [scores], name="shares")
    mixed = net.node(Transpose((0, 2, 1, 3)), [net.node(MatMul(), [shares, head("value")], name="mixed")], name="mixed_turned")
    return net.node(Reshape((None, steps if queries is None else queries, heads * width)), [mixed], name="joined")


@animal
def attention() -> Graph:
    """Products of two activations, the second turned and not, odd sizes: self-attention over a sequence, then a head."""
    net = Net("attention", 41)
    x = net.input("x", (None, 7, 6))
    joined = net.dense(_attend(net, x, 2, 5), 6, name="out")
    return net.finish([net.dense(net.node(Mean((1,)), [net.node(Add(), [x, joined])], name="pooled"), 3, name="head")])


@animal
def pooled_by_attention() -> Graph:
    """A product whose first factor is constant and broadcast: a few learned queries gather a sequence."""
    net = Net("pooled_by_attention", 42)
    gathered = _attend(net, net.input("x", (None, 6, 5)), 2, 4, queries=3)
    return net.finish([net.dense(gathered, 4, name="head")])


@animal
def encoder() -> Graph:
    """A block of a transformer: layer normalization before attention and before a GELU layer, residual additions."""
    net = Net("encoder", 43)
    x = net.dense(net.input("x", (None, 5, 4)), 8, name="embedding")

    def normalized(y: str, name: str) -> str:
        scale, offset = (net.rng.normal(middle, 0.3, 8).astype(np.float32) for middle in (1.0, 0.0))
        return net.node(LayerNorm(), [y, net.constant(f"{name}_scale", scale), net.constant(f"{name}_offset", offset)], name=name)

    y = net.node(Add(), [x, net.dense(_attend(net, normalized(x, "norm1"), 2, 4), 8, name="out")], name="residual1")
    wide = net.node(GELU(), [net.dense(normalized(y, "norm2"), 16, name="up")], name="gelu")
    y = net.node(Add(), [y, net.dense(wide, 8, name="down")], name="residual2")
    return net.finish([net.dense(net.node(Mean((1,)), [y], name="pooled"), 3, name="head")])


@animal
def sentence() -> Graph:
    """Tokens looked up in a table, places added, a mask that keeps attention from what is not there and weighs the mean."""
    net = Net("sentence", 44)
    tokens, mask = net.input("tokens", (None, 5)), net.input("mask", (None, 5))
    x = net.node(Embedding(), [net.weight("table", (11, 8), 8), tokens], name="embedding")
    x = net.node(Add(), [x, net.weight("places", (5, 8), 8)], name="placed")
    column = net.node(Reshape((None, 5, 1)), [mask], name="column")
    there = net.node(Mul(), [x, column], name="there")
    joined = net.node(Add(), [there, net.dense(_attend(net, there, 2, 4), 8, name="out")], name="residual")
    return net.finish([net.dense(net.node(Mean((1,)), [net.node(Mul(), [joined, column], name="kept")], name="pooled"), 3, name="head")])


def _cell(net: Net, x: str, units: int, gates: int, name: str) -> list[str]:
    """The weights and the bias of a recurrent layer."""
    inputs = int(net.value(x).shape[2] or 1)
    weight = net.weight(f"{name}_weight", (gates * units, inputs), inputs)
    recurrent = net.weight(f"{name}_recurrent", (gates * units, units), units)
    return [weight, recurrent, net.vector(f"{name}_bias", gates * units)]


@animal
def long_memory() -> Graph:
    """Two LSTM layers over a sequence, of which the last step alone is read."""
    net = Net("long_memory", 45)
    x = net.input("x", (None, 6, 5))
    first = net.node(LSTM(), [x, *_cell(net, x, 7, 4, "first")], name="first")
    second = net.node(LSTM(), [first, *_cell(net, first, 4, 4, "second")], name="second")
    last = net.node(Slice((0, 5, 0), (None, 1, 4), (1, 1, 1)), [second], name="last")
    return net.finish([net.dense(net.node(Reshape((None, 4)), [last], name="flat"), 3, name="head")])


@animal
def both_ways() -> Graph:
    """Two LSTM layers hear a sequence from either end: slices that go backwards, joined; every second step is read, from behind."""
    net = Net("both_ways", 48)
    x = net.input("x", (None, 6, 5))
    back = Slice((0, 5, 0), (None, 6, 5), (1, -1, 1))
    turned = net.node(back, [x], name="turned")
    ahead = net.node(LSTM(), [x, *_cell(net, x, 4, 4, "ahead")], name="ahead")
    behind = net.node(LSTM(), [turned, *_cell(net, turned, 4, 4, "behind")], name="behind")
    again = net.node(Slice((0, 5, 0), (None, 6, 4), (1, -1, 1)), [behind], name="again")
    y = net.node(Concat(2), [ahead, again], name="join")
    some = net.node(Slice((0, 5, 7), (None, 3, 8), (1, -2, -1)), [y], name="some")
    return net.finish([net.dense(some, 3, name="head")])


@animal
def gated_memory() -> Graph:
    """A GRU between dense layers, every step read; C and ONNX have it, .tflite does not."""
    net = Net("gated_memory", 46)
    x = net.dense(net.input("x", (None, 5, 4)), 6, activation="relu", name="embedding")
    y = net.node(GRU(), [x, *_cell(net, x, 5, 3, "cell"), net.vector("cell_recurrent_bias", 15)], name="memory")
    return net.finish([net.dense(y, 3, name="head")])


@animal
def written_out_norm() -> Graph:
    """Layer normalization as formats and exporters without that operator have it: means, squares and a reciprocal root."""
    net = Net("written_out_norm", 44)
    x = net.dense(net.input("x", (None, 4, 5)), 6, name="embedding")
    centred = net.node(Sub(), [x, net.node(Mean((2,), keep_dims=True), [x], name="mean")], name="centred")
    variance = net.node(Mean((2,), keep_dims=True), [net.node(Mul(), [centred, centred], name="squares")], name="variance")
    safe = net.node(Add(), [variance, net.constant("epsilon", np.asarray([0.05], np.float32))], name="safe")
    unit = net.node(Mul(), [centred, net.node(Rsqrt(), [safe], name="inverse")], name="unit")
    scaled = net.node(Mul(), [unit, net.vector("scale", 6, 0.5, 1.5)], name="scaled")
    y = net.node(Add(), [scaled, net.vector("offset", 6)], name="shifted")
    return net.finish([net.dense(y, 3, name="head")])


@animal
def gelu_mixer() -> Graph:
    """Dense layers with GELU along either axis of a sequence, as mixers and transformers have them: LiteRT runs it, TFLM does not."""
    net = Net("gelu_mixer", 39)
    x = net.input("x", (None, 6, 8))
    mixed = net.node(Transpose((0, 2, 1)), [x], name="across")
    mixed = net.dense(net.node(GELU(), [net.dense(mixed, 12, name="tokens1")], name="gelu1"), 6, name="tokens2")
    x = net.node(Add(), [x, net.node(Transpose((0, 2, 1)), [mixed], name="back")], name="add1")
    mixed = net.dense(net.node(GELU(True), [net.dense(x, 16, name="channels1")], name="gelu2"), 8, name="channels2")
    x = net.node(Add(), [x, mixed], name="add2")
    return net.finish([net.dense(net.node(Mean((1,)), [x], name="pool"), 3, name="head")])


@animal
def smooth_activations_inside() -> Graph:
    """Activations with fixed output grids (sigmoid, tanh) and tables (silu, gelu) between layers, as networks use them."""
    net = Net("smooth_activations_inside", 21)
    y = net.node(SiLU(), [net.conv(net.input("x", (None, 6, 6, 2)), 6, name="a")], name="silu")
    y = net.node(HardSwish(), [net.conv(y, 6, (1, 1), padding=((0, 0), (0, 0)), name="b")], name="hard_swish")
    gate = net.node(Sigmoid(), [net.conv(y, 6, name="c")], name="sigmoid")
    y = net.node(Mul(), [gate, net.node(Tanh(), [net.conv(y, 6, name="d")], name="tanh")], name="gated")
    return net.finish([net.node(GELU(), [net.dense(net.flatten(y), 4)], name="gelu")])


@animal
def unfused_relu() -> Graph:
    """Relu, relu6 and leaky relu as nodes of their own behind layers, for the passes that fuse what can be fused."""
    net = Net("unfused_relu", 22)
    y = net.node(Relu(), [net.conv(net.input("x", (None, 6, 6, 3)), 4, name="a")], name="relu")
    y = net.node(Relu6(), [net.depthwise(y)], name="relu6")
    y = net.node(LeakyRelu(0.2), [net.conv(y, 4, name="b")], name="leaky")
    y = net.node(Relu(), [net.node(MaxPool2D((2, 2), (2, 2)), [y], name="pool")], name="late")
    return net.finish([net.node(Relu(), [net.dense(net.flatten(y), 5)], name="last")])


@animal
def prelu() -> Graph:
    """PRelu, whose slopes are constants that go with the channels."""
    net = Net("prelu", 23)
    y = net.conv(net.input("x", (None, 6, 6, 3)), 5, name="a")
    y = net.node(PRelu(), [y, net.vector("alpha", 5, -0.1, 0.5)], name="prelu")
    return net.finish([net.classify(y, 3)])


@animal
def unet() -> Graph:
    """Down and up again with skip connections: padding as a node of its own, max pooling, both kinds of resizing, concatenation."""
    net = Net("unet", 24)
    x = net.input("x", (None, 8, 8, 2))
    padded = net.node(Pad(((0, 0), (1, 1), (1, 1), (0, 0))), [x], name="pad")
    top = net.conv(padded, 4, padding=((0, 0), (0, 0)), activation="relu", name="top")
    middle = net.conv(net.node(MaxPool2D((2, 2), (2, 2)), [top], name="down1"), 6, activation="relu", name="middle")
    bottom = net.conv(net.node(MaxPool2D((2, 2), (2, 2)), [middle], name="down2"), 6, activation="relu", name="bottom")
    up = net.node(Resize((4, 4), "nearest"), [bottom], name="up2")
    up = net.conv(net.node(Concat(3), [up, middle], name="skip2"), 4, activation="relu", name="decode2")
    up = net.node(Resize((8, 8), "bilinear", half_pixel_centers=True), [up], name="up1")
    return net.finish([net.conv(net.node(Concat(3), [up, top], name="skip1"), 1, (1, 1), padding=((0, 0), (0, 0)), name="mask")])


@animal
def resizing() -> Graph:
    """The other conventions of resizing, up and down, by factors that do not divide."""
    net = Net("resizing", 25)
    x = net.input("x", (None, 5, 7, 3))
    return net.finish(
        [
            net.node(Resize((8, 3), "bilinear", align_corners=True), [x], name="corners"),
            net.node(Resize((3, 11), "bilinear"), [x], name="plain"),
            net.node(Resize((9, 9), "nearest", half_pixel_centers=True), [x], name="centres"),
        ]
    )


@animal
def padding_kinds() -> Graph:
    """Padding with another number than zero, by reflection, and of channels (the cheap shortcut of early ResNets)."""
    net = Net("padding_kinds", 26)
    x = net.conv(net.input("x", (None, 5, 5, 3)), 4, activation="relu")
    ones = net.node(Pad(((0, 0), (1, 0), (0, 2), (0, 0)), 1.0), [x], name="ones")
    mirror = net.node(Pad(((0, 0), (2, 1), (1, 2), (0, 0)), mode="reflect"), [x], name="mirror")
    short = net.node(Pad(((0, 0), (0, 0), (0, 0), (1, 1))), [x], name="short")
    return net.finish(
        [net.conv(ones, 2, name="a"), net.conv(mirror, 2, name="b"), net.node(Add(), [net.conv(x, 6, name="c"), short], name="add")]
    )


@animal
def multi_input() -> Graph:
    """An image and a vector that meet: inputs of different shape, the order of inputs, difference and product of two activations."""
    net = Net("multi_input", 27)
    image, vector = net.input("image", (None, 6, 6, 3)), net.input("vector", (None, 8))
    seen = net.node(Mean((1, 2)), [net.conv(image, 8, activation="relu")], name="seen")
    told = net.dense(vector, 8, name="told")
    both = [net.node(Sub("relu"), [seen, told], name="difference"), net.node(Mul(), [told, seen], name="product")]
    return net.finish([net.dense(net.node(Concat(1), [*both, vector], name="join"), 3, name="head")])


@animal
def multi_output() -> Graph:
    """Several outputs, one of which inner layers read on, in another order than they are computed."""
    net = Net("multi_output", 28)
    early = net.conv(net.input("x", (None, 6, 6, 3)), 4, activation="relu", name="early")
    late = net.conv(early, 2, stride=(2, 2), name="late")
    return net.finish([net.node(Softmax(), [net.dense(net.flatten(late), 3)], name="scores"), early, late])


@animal
def streaming() -> Graph:
    """A network with state: one frame a call, a buffer of the last frames, and a running sum."""
    net = Net("streaming", 29)
    frame = net.input("frame", (None, 1, 1, 6))
    zeros = net.constant("zeros", np.zeros((1, 4, 1, 6), np.float32))
    window = net.node(Concat(1), [net.state("past", (None, 4, 1, 6), zeros), frame], name="window")
    net.write_state("past", net.node(Slice((0, 1, 0, 0), (None, 4, 1, 6), (1, 1, 1, 1)), [window], name="kept"))
    y = net.conv(window, 8, (5, 1), padding=((0, 0), (0, 0)), activation="relu")
    halved = net.node(
        Mul(),
        [
            net.state("level", (None, 1, 1, 8), net.constant("level_start", np.full((1, 1, 1, 8), 0.5, np.float32))),
            net.constant("half", np.float32([0.5])),
        ],
        name="halved",
    )
    level = net.node(Add(), [halved, y], name="next_level")
    net.write_state("level", level)
    return net.finish([net.node(Sigmoid(), [net.dense(net.flatten(level), 2)], name="score")])


@animal
def dead_channels() -> Graph:
    """Channels that are constant, never read, or always zero: through padding, depthwise, residual additions and concatenation."""
    net = Net("dead_channels", 30)
    x = net.input("x", (None, 7, 7, 3))
    weight = net.rng.normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32)
    bias = net.rng.uniform(-0.2, 0.2, 8).astype(np.float32)
    weight[[1, 4]] = 0.0
    bias[[1, 4]] = 0.7, -0.4
    y = net.node(Conv2D(padding=SAME, activation="relu"), [x, net.constant("a_weight", weight), net.constant("a_bias", bias)], name="a")
    spatial = net.depthwise(y, activation="relu")
    mix = net.rng.normal(0, 0.4, (8, 1, 1, 8)).astype(np.float32)
    mix[:, :, :, [0, 6]] = 0.0
    mix[[1, 4]] = 0.0
    y = net.node(Add(), [y, net.node(Conv2D(), [spatial, net.constant("mix_weight", mix)], name="mix")], name="add")
    part = net.node(Slice((0, 0, 0, 0), (None, 7, 7, 5), (1, 1, 1, 1)), [y], name="part")
    joined = net.node(Concat(3), [part, net.conv(x, 3, name="side")], name="join")
    last = net.rng.normal(0, 0.4, (4, 3, 3, 8)).astype(np.float32)
    last[:, :, :, [2, 7]] = 0.0
    return net.finish([net.classify(net.node(Conv2D(padding=SAME), [joined, net.constant("last_weight", last)], name="last"), 3)])


@animal
def shared_constants() -> Graph:
    """One weight that two layers read on inputs of different range, and two constants that are equal without being one."""
    net = Net("shared_constants", 31)
    weight = net.weight("weight", (6, 3, 3, 6), 54)
    bias = net.vector("bias", 6)
    first = net.node(Conv2D(padding=SAME, activation="relu"), [net.conv(net.input("x", (None, 5, 5, 2)), 6), weight, bias], name="first")
    second = net.node(Conv2D(padding=SAME), [first, weight, bias], name="second")
    numbers = net.rng.uniform(0.5, 2, 6).astype(np.float32)
    y = net.node(Mul(), [second, net.constant("scale", numbers)], name="scaled")
    return net.finish([net.node(Mul(), [y, net.constant("scale_again", numbers.copy())], name="scaled_again")])


@animal
def squeeze_and_excite() -> Graph:
    """A product of an image and one number a channel: broadcasting between activations."""
    net = Net("squeeze_and_excite", 32)
    x = net.conv(net.input("x", (None, 6, 6, 3)), 8, activation="relu")
    squeezed = net.node(Mean((1, 2), keep_dims=True), [x], name="squeeze")
    one = ((0, 0), (0, 0))
    gate = net.conv(net.conv(squeezed, 2, (1, 1), padding=one, activation="relu", name="down"), 8, (1, 1), padding=one, name="up")
    y = net.node(Mul(), [x, net.node(HardSigmoid(), [gate], name="gate")], name="excite")
    return net.finish([net.classify(y)])


@animal
def constant_operands() -> Graph:
    """Additions, subtractions and products with constants on either side: scalars, one number a channel, a whole map."""
    net = Net("constant_operands", 33)
    y = net.node(Add("relu6"), [net.input("x", (None, 4, 5, 3)), net.constant("map", net.rng.normal(0, 1, (4, 5, 3)).astype(np.float32))])
    y = net.node(Sub(), [net.constant("one", np.float32([1.0])), y], name="one_minus")
    y = net.node(Mul(), [net.vector("factors", 3, 0.2, 1.5), y], name="scaled")
    return net.finish([net.node(Sub(), [y, net.vector("offsets", 3)], name="shifted")])


@animal
def identities() -> Graph:
    """Everything that does nothing: a clean-up must leave the two layers alone."""
    net = Net("identities", 34)
    y = net.conv(net.input("x", (None, 4, 4, 3)), 4, activation="relu")
    y = net.node(Reshape((None, 4, 4, 4)), [y], name="same_shape")
    y = net.node(Transpose((0, 3, 1, 2)), [net.node(Transpose((0, 1, 2, 3)), [y], name="same_order")], name="to_planes")
    y = net.node(Relu(), [net.node(Transpose((0, 2, 3, 1)), [y], name="back")], name="already_positive")
    y = net.node(Pad(((0, 0),) * 4), [net.node(Concat(3), [y], name="alone")], name="no_padding")
    y = net.node(Slice((0, 0, 0, 0), (None, 4, 4, 4), (1, 1, 1, 1)), [y], name="all_of_it")
    y = net.node(
        Add(),
        [net.node(Mul(), [y, net.constant("one", np.float32([1.0]))], name="times_one"), net.constant("zero", np.zeros(4, np.float32))],
    )
    y = net.node(MaxPool2D((1, 1), (1, 1)), [net.node(Resize((4, 4)), [y], name="same_size")], name="no_pool")
    y = net.node(Reshape((None, 64)), [net.node(Reshape((None, 16, 4)), [y], name="rows")], name="flat")
    return net.finish([net.dense(y, 3)])


@animal
def planes_first_head() -> Graph:
    """A head trained on channels-first tensors: the transpose before the flattening must stay, or move into the weights."""
    net = Net("planes_first_head", 35)
    y = net.node(MaxPool2D((2, 2), (2, 2)), [net.conv(net.input("x", (None, 6, 6, 2)), 5, activation="relu")], name="pool")
    y = net.node(Transpose((0, 3, 1, 2)), [y], name="planes")
    return net.finish([net.dense(net.dense(net.flatten(y), 8, "relu", name="hidden"), 3, name="head")])


@animal
def constant_branch() -> Graph:
    """A branch that depends on no input, and a node that nobody needs: both can be computed, or dropped, before deployment."""
    net = Net("constant_branch", 36)
    x = net.input("x", (None, 6))
    table = net.node(Tanh(), [net.constant("table", net.rng.normal(0, 1, (1, 6)).astype(np.float32))], name="known")
    net.dense(x, 9, name="unused")
    return net.finish([net.dense(net.node(Mul(), [x, table], name="weighted"), 4)])


@animal
def repeated_work() -> Graph:
    """Two heads that each pool the same image, and square it: equal nodes that can be computed once."""
    net = Net("repeated_work", 37)
    x = net.conv(net.input("x", (None, 6, 6, 3)), 6, activation="relu")
    heads = []
    for name in ("first", "second"):
        squared = net.node(Mul(), [x, x], name=f"{name}_square")
        heads.append(net.dense(net.node(Mean((1, 2)), [squared], name=f"{name}_pool"), 3, name=name))
    return net.finish(heads)


def grid(low: float, high: float) -> Quant:
    """An int8 grid over a range that contains zero."""
    scale = (high - low) / 255
    return Quant.per_tensor(np.float32(scale), int(np.rint(-128 - low / scale)))


@integer_animal
def float_edges() -> Graph:
    """Reals in and out of an integer graph: Quantize and Dequantize at its edges, and a Requantize between."""
    rng = np.random.default_rng(50)
    build = GraphBuilder("float_edges", Level.INTEGER)
    first, second, third = grid(-2, 2), grid(-1, 3), grid(-4, 4)
    x = build.node(Quantize(), [build.input("x", (None, 10))], name="quantize", dtype=DType.INT8, quants=[first])
    x = build.node(Requantize(), [x], name="requantize", quants=[second])
    scales = rng.uniform(0.002, 0.02, 4).astype(np.float32)
    weight = build.constant("weight", rng.integers(-127, 128, (4, 10), dtype=np.int8), quant=Quant.per_axis(scales, 0))
    bias_quant = Quant.per_axis(scales * np.float32(second.scale[0]), 0, DType.INT32)
    bias = build.constant("bias", rng.integers(-2000, 2000, 4, dtype=np.int32), quant=bias_quant)
    x = build.node(Dense("relu"), [x, weight, bias], name="dense", quants=[third])
    return build.finish([build.node(Dequantize(), [x], name="dequantize", dtype=DType.FLOAT32)])


def zoo_inputs(graph: Graph, count: int, seed: int = 0) -> list[NDArray[np.generic]]:
    """``count`` samples for every input of ``graph``: normal reals, indices of tables, or (integer inputs) integers over the whole range.

    More samples of one seed begin with the same ones.
    """
    arrays: list[NDArray[np.generic]] = []
    for index, name in enumerate(graph.inputs):
        rng = np.random.default_rng([seed, index])
        value = graph.value(name)
        shape = (count, *value.shape[1:])
        if (rows := rows_to_choose(graph, name)) is not None:
            arrays.append(rng.integers(0, rows, shape).astype(np.int32))
        elif value.dtype.is_integer:
            arrays.append(rng.integers(value.dtype.minimum, value.dtype.maximum + 1, shape).astype(value.dtype.numpy))
        else:
            arrays.append(rng.normal(0, 1, shape).astype(np.float32))
    return arrays


def quantize_zoo(graph: Graph, *, clean: bool = False, **options: int) -> Graph:
    """The integer graph that ``graph`` becomes, calibrated on its first 100 :func:`zoo_inputs`; an integer graph stays as it is.

    ``clean``: after all exact passes; otherwise only what has no integer form (batch norm) is replaced, so that every operator is kept.
    ``options``: of quantize_static.
    """
    if graph.level is Level.INTEGER:
        return graph
    registry = load_passes()
    context = Context(data=Data(tuple(np.asarray(array, np.float32) for array in zoo_inputs(graph, 100))))
    if clean:
        graph = clean_zoo(graph)
    graph = registry["replace_batchnorm"].function(graph, context)
    graph = registry["quantize_static"].function(graph, context, **options)
    return lower_integer(graph, load_target("cortex-m4"))


def clean_zoo(graph: Graph) -> Graph:
    """``graph`` after all exact passes, repeated until nothing changes."""
    registry, context = load_passes(), Context()
    before = None
    while before is not graph:
        before = graph
        for name in CLEAN:
            graph = registry[name].function(graph, context)
    return graph


def integer_inputs(graph: Graph, integer: Graph, count: int, seed: int = 0) -> list[NDArray[np.generic]]:
    """:func:`zoo_inputs` of ``graph`` on the grids of its ``integer`` form."""
    return quantize_inputs(integer, zoo_inputs(graph, count, seed))
