"""Random layers of all operators of the C emitter, many of them side by side in one program that runs once.

Shapes follow what networks for microcontrollers have: 1 to 256 channels, odd ones among them, pictures of 1 to 64 pixels a side, kernels of
1, 3 and 5, first layers of 1 or 3 channels; sums and scales are such that outputs use their range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from benchmarks.random_weights import Form, any_weights, few_values, pruned, wide_weights
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.ir.operator import Operator
from edgewright.ir.verify import verify
from edgewright.lower.memory import Buffer, MemoryPlan
from edgewright.lower.program import Program
from edgewright.lower.schedule import single_sample
from edgewright.ops.add import Add
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.concat import Concat
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.dequantize import Dequantize
from edgewright.ops.gru import GRU
from edgewright.ops.hard_swish import HardSwish
from edgewright.ops.layer_norm import LayerNorm
from edgewright.ops.leaky_relu import LeakyRelu
from edgewright.ops.log_softmax import LogSoftmax
from edgewright.ops.lstm import LSTM
from edgewright.ops.matmul import MatMul
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.mean import Mean
from edgewright.ops.mul import Mul
from edgewright.ops.pad import Pad
from edgewright.ops.prelu import PRelu
from edgewright.ops.quantize import Quantize
from edgewright.ops.relu import Relu
from edgewright.ops.requantize import Requantize
from edgewright.ops.resize import Resize
from edgewright.ops.sigmoid import Sigmoid
from edgewright.ops.slice import Slice
from edgewright.ops.softmax import Softmax
from edgewright.ops.sub import Sub
from edgewright.ops.tanh import Tanh
from edgewright.ops.transpose import Transpose
from edgewright.ops.transpose_conv2d import TransposeConv2D
from edgewright.targets.stored import layer_can_be_frugal, layer_workspace_bytes
from edgewright.targets.target import Target

Array = npt.NDArray[np.generic]
Padding = tuple[tuple[int, int], tuple[int, int]]
MOST_MACS, MOST_BYTES = 1_200_000, 40_000
NO_PADDING: Padding = ((0, 0), (0, 0))


@dataclass
class Layers:
    """A graph under construction whose layers have nothing to do with each other. ``form``: how weights are drawn. ``dtype``: of
    activations, whose steps are as much finer as int16 has more of them."""

    rng: np.random.Generator
    builder: GraphBuilder = field(default_factory=lambda: GraphBuilder("layers", Level.INTEGER))
    outputs: list[str] = field(default_factory=list)
    form: Form = any_weights
    dtype: DType = DType.INT8

    def quant(self, scale: float | None = None) -> Quant:
        """Activations: after a rectifier as often as not."""
        zero_point = -128 if self.rng.integers(2) else int(self.rng.integers(-60, 60))
        if self.dtype is DType.INT16:
            zero_point = 0
        scale = self.rng.uniform(0.02, 0.08) / self.finer if scale is None else scale
        return Quant.per_tensor(float(np.float32(scale)), zero_point)

    @property
    def finer(self) -> int:
        return 256 if self.dtype is DType.INT16 else 1

    def input(self, shape: Sequence[int], quant: Quant | None = None, dtype: DType | None = None) -> str:
        dtype = dtype or self.dtype
        quant = None if dtype is DType.FLOAT32 else replace(quant or self.quant(), dtype=dtype)
        return self.builder.input(self.builder.fresh("x"), (None, *shape), dtype, quant)

    def node(self, op: Operator, inputs: Sequence[str], quant: Quant | None, dtype: DType | None = None) -> None:
        dtype = dtype or self.dtype
        quant = None if quant is None else replace(quant, dtype=dtype)
        self.outputs.append(self.builder.node(op, inputs, quants=[quant], dtype=dtype))

    def channels(self) -> int:
        """Mostly round numbers."""
        return int(self.rng.choice([8, 16, 24, 32, 48, 64, 96, 128, 256])) if self.rng.integers(2) else int(2 ** self.rng.uniform(0, 8))

    def side(self) -> int:
        return int(self.rng.choice([1, 2, 4, 8, 16, 32, 64])) if self.rng.integers(3) == 0 else int(2 ** self.rng.uniform(0, 6))

    def picture(self) -> tuple[int, int]:
        height = self.side()
        return height, height if self.rng.integers(3) else self.side()

    def activation(self) -> str:
        return str(self.rng.choice(["none", "relu", "relu6"], p=[0.4, 0.3, 0.3]))

    def weights(self, x: str, shape: tuple[int, ...]) -> tuple[list[str], Quant]:
        """Names of a weight and a bias, and a Quant for the output that its sums fill; factors above 1/2 are rare."""
        numbers, structure = self.form(self.rng, shape)
        size = max(float(np.sqrt(np.mean(np.square(numbers, dtype=np.float64)))), 0.01)
        fan_in = int(np.prod(shape[1:]))
        scales = (self.rng.uniform(0.5, 2.0, shape[0]) * 0.02 / np.sqrt(fan_in)).astype(np.float32)
        known = self.builder.value(x).quant
        assert known is not None
        spread = known.scale[0] * float(np.median(scales)) * 45 * size * np.sqrt(fan_in)
        out = float(np.float32(spread / self.rng.uniform(25, 50)))
        if self.rng.integers(10) == 0:
            # A channel whose sums are scaled by 1/2 or more.
            scales[self.rng.integers(shape[0])] = self.rng.choice([0.7, 3.0]) * out / known.scale[0]
        per_tensor = self.rng.integers(6) == 0
        quant = Quant.per_tensor(float(scales[0])) if per_tensor else Quant.per_axis(scales, 0)
        quant = replace(quant, dtype=DType(numbers.dtype.name))
        bias = self.rng.normal(0, 1500 / 45 * size * np.sqrt(fan_in), shape[0]).astype(np.int32)
        names = [
            self.builder.constant("w", numbers, quant=quant, structure=structure),
            self.builder.constant("b", bias, dtype=DType.INT32),
        ]
        zero_point = int(self.rng.choice([-128, 0, int(self.rng.integers(-128, 100))])) * (self.dtype is DType.INT8)
        return names, Quant.per_tensor(out, zero_point)


def _window(layers: Layers, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[tuple[int, int], Padding]:
    """A picture that the kernel fits, padded as SAME or not at all."""
    same = bool(layers.rng.integers(4))
    shape, padding = list(layers.picture()), []
    for axis in range(2):
        span = (kernel[axis] - 1) * dilation[axis] + 1
        if same:
            steps = -(-shape[axis] // stride[axis])
            whole = max((steps - 1) * stride[axis] + span - shape[axis], 0)
            padding.append((whole // 2, whole - whole // 2))
        else:
            shape[axis] = max(shape[axis], span)
            padding.append((0, 0))
    return (shape[0], shape[1]), (padding[0], padding[1])


def _kernel(layers: Layers) -> tuple[int, int]:
    rng = layers.rng
    if rng.integers(4) == 0:
        return [(1, 3), (3, 1), (10, 4), (10, 8), (2, 2), (1, 5), (4, 1), (7, 7), (8, 4), (4, 4), (20, 8), (12, 1)][int(rng.integers(12))]
    side = int(rng.choice([1, 3, 5], p=[0.5, 0.4, 0.1]))
    return side, side


def _stride(layers: Layers) -> tuple[int, int]:
    side = int(layers.rng.choice([1, 2, 3], p=[0.65, 0.3, 0.05]))
    return (side, side) if layers.rng.integers(10) else (1, side)


def add_conv2d(layers: Layers) -> None:
    """A convolution; one in six is a first layer."""
    rng = layers.rng
    while True:
        kernel, stride = _kernel(layers), _stride(layers)
        dilation = (2, 2) if kernel != (1, 1) and rng.integers(15) == 0 else (1, 1)
        groups = int(rng.choice([2, 4])) if rng.integers(15) == 0 else 1
        channels, outputs = layers.channels(), layers.channels()
        if rng.integers(6) == 0:
            channels = int(rng.choice([1, 3]))
        channels, outputs = -(-channels // groups) * groups, -(-outputs // groups) * groups
        shape, padding = _window(layers, kernel, stride, dilation)
        out = [(shape[a] + sum(padding[a]) - (kernel[a] - 1) * dilation[a] - 1) // stride[a] + 1 for a in range(2)]
        size = kernel[0] * kernel[1] * channels // groups * outputs
        fits = shape[0] * shape[1] * channels <= MOST_BYTES and out[0] * out[1] * outputs <= MOST_BYTES and size <= MOST_BYTES
        if fits and size * out[0] * out[1] <= MOST_MACS:
            break
    x = layers.input((*shape, channels))
    names, quant = layers.weights(x, (outputs, *kernel, channels // groups))
    layers.node(Conv2D(stride, padding, dilation, groups, layers.activation()), [x, *names], quant)


def add_depthwise_conv2d(layers: Layers) -> None:
    """A depthwise convolution, most of them 3x3 or 5x5."""
    rng = layers.rng
    while True:
        kernel = [(3, 3), (3, 3), (5, 5), _kernel(layers)][int(rng.integers(4))]
        stride = _stride(layers)
        dilation = (2, 2) if kernel != (1, 1) and rng.integers(12) == 0 else (1, 1)
        channels, multiplier = layers.channels(), 1
        if rng.integers(6) == 0:
            channels, multiplier = int(rng.choice([1, 3, 8])), int(rng.choice([1, 2, 8]))
        shape, padding = _window(layers, kernel, stride, dilation)
        if max(shape[0] * shape[1] * channels, shape[0] * shape[1] * channels * multiplier // (stride[0] * stride[1])) <= MOST_BYTES:
            break
    x = layers.input((*shape, channels))
    names, quant = layers.weights(x, (channels * multiplier, *kernel, 1))
    layers.node(DepthwiseConv2D(stride, padding, dilation, multiplier, layers.activation()), [x, *names], quant)


def add_transpose_conv2d(layers: Layers) -> None:
    """A transposed convolution."""
    rng = layers.rng
    while True:
        kernel, stride = int(rng.choice([2, 3, 4])), int(rng.choice([1, 2, 2]))
        channels, outputs, shape = layers.channels(), layers.channels(), layers.picture()
        places = shape[0] * shape[1]
        size = channels * outputs * kernel * kernel
        if size * places <= MOST_MACS and places * stride * stride * outputs <= MOST_BYTES and size <= MOST_BYTES:
            break
    x = layers.input((*shape, channels))
    names, quant = layers.weights(x, (outputs, kernel, kernel, channels))
    cut = (kernel - stride) // 2 if kernel > stride else 0
    padding = ((cut, kernel - stride - cut), (cut, kernel - stride - cut)) if kernel > stride else NO_PADDING
    extra = (0, (stride - 1) * shape[1] % 2)  # Columns that the stride does not divide have a kernel of their own.
    layers.node(TransposeConv2D((stride, stride), padding, extra, layers.activation()), [x, *names], quant)


def add_dense(layers: Layers) -> None:
    """A dense layer on one vector or several."""
    inputs, outputs = int(2 ** layers.rng.uniform(0, 10)), layers.channels()
    outputs = max(1, min(outputs, MOST_BYTES // inputs))
    vectors = (int(layers.rng.integers(2, 20)),) if layers.rng.integers(5) == 0 else ()
    x = layers.input((*vectors, inputs))
    names, quant = layers.weights(x, (outputs, inputs))
    layers.node(Dense(layers.activation()), [x, *names], quant)


def _tensor(layers: Layers, most: int = MOST_BYTES // 2) -> tuple[int, int, int]:
    while True:
        height, width = layers.picture()
        channels = layers.channels()
        if height * width * channels <= most:
            return height, width, channels


def _operands(layers: Layers) -> tuple[str, str]:
    """Two tensors of one shape; or one of them a number, a number a channel or one a pixel."""
    height, width, channels = shape = _tensor(layers)
    other = shape if layers.rng.integers(2) else [(1, 1, channels), (1, 1, 1), (height, width, 1)][int(layers.rng.integers(3))]
    x, y = layers.input(shape), layers.input(other)
    return (x, y) if layers.rng.integers(3) else (y, x)


def add_sum(layers: Layers) -> None:
    """A sum or a difference, broadcast now and then."""
    x, y = _operands(layers)
    scales = [layers.builder.value(name).quant.scale[0] for name in (x, y)]  # type: ignore[union-attr]
    op = Sub("none") if layers.rng.integers(6) == 0 else Add(layers.activation())
    layers.node(op, [x, y], layers.quant(float(np.hypot(*scales)) * layers.rng.uniform(0.9, 1.5)))


def add_mul(layers: Layers) -> None:
    """A product, often with one number a channel."""
    x, y = _operands(layers)
    scales = [layers.builder.value(name).quant.scale[0] for name in (x, y)]  # type: ignore[union-attr]
    layers.node(Mul("none"), [x, y], layers.quant(scales[0] * scales[1] * layers.rng.uniform(20, 80)))


def add_pool(layers: Layers) -> None:
    """A pooling; one in four is global."""
    rng = layers.rng
    height, width, channels = _tensor(layers)
    kernel = (height, width) if rng.integers(4) == 0 and height * width <= 400 else (int(rng.choice([2, 3])),) * 2
    stride = kernel if rng.integers(2) else (2, 2)
    height, width = max(height, kernel[0]), max(width, kernel[1])
    x = layers.input((height, width, channels))
    padding = ((0, 1), (0, 1)) if kernel == (3, 3) and rng.integers(2) else NO_PADDING
    op = (MaxPool2D if rng.integers(2) else AveragePool2D)(kernel, stride, padding, "none")
    layers.node(op, [x], layers.builder.value(x).quant)


def add_mean(layers: Layers) -> None:
    """A mean, mostly over the picture."""
    x = layers.input(_tensor(layers))
    axes = (1, 2) if layers.rng.integers(4) else [(1,), (2,), (3,)][int(layers.rng.integers(3))]
    layers.node(Mean(axes, bool(layers.rng.integers(2))), [x], layers.quant())


def add_softmax(layers: Layers) -> None:
    """A softmax or its logarithm."""
    shape = (int(layers.rng.integers(2, 40)),) if layers.rng.integers(3) else (int(layers.rng.integers(2, 30)), layers.channels() + 1)
    if layers.dtype is DType.INT16:
        layers.node(Softmax(), [layers.input(shape)], Quant.per_tensor(1 / 32768, 0))
        return
    x = layers.input(shape, Quant.per_tensor(float(np.float32(layers.rng.uniform(0.05, 0.2))), 10))
    if layers.rng.integers(4):
        layers.node(Softmax(), [x], Quant.per_tensor(1 / 256, -128))
    else:
        layers.node(LogSoftmax(), [x], Quant.per_tensor(1 / 16, 127))


def add_matmul(layers: Layers) -> None:
    """A product of two activations, as attention has it."""
    rng = layers.rng
    heads, rows, columns, depth = int(rng.integers(1, 5)), *(int(size) for size in rng.integers(2, 33, 3))
    transposed = bool(rng.integers(2))
    first = layers.input((heads, rows, depth))
    second = layers.input((heads, columns, depth) if transposed else (heads, depth, columns))
    scales = [layers.builder.value(name).quant.scale[0] for name in (first, second)]  # type: ignore[union-attr]
    output = layers.quant(scales[0] * scales[1] * depth**0.5 * layers.rng.uniform(20, 80))
    layers.node(MatMul(transposed), [first, second], output)


def add_layer_norm(layers: Layers) -> None:
    """Layer normalization of a sequence."""
    channels = int(layers.rng.integers(4, 129))
    x = layers.input((int(layers.rng.integers(1, 17)), channels))
    steps = layers.rng.uniform(0.5, 1.5, channels).astype(np.float32) / 127
    weight = layers.builder.constant(
        "scale", np.full(channels, 127, np.int8), quant=Quant.per_axis(steps, 0, DType.INT8)
    )
    unit = np.float32(LayerNorm().product_scale(1.0))
    bias = np.rint(layers.rng.normal(0, 0.3, channels) / (steps * unit)).astype(np.int32)
    offset = layers.builder.constant("offset", bias, quant=Quant.per_axis(steps * unit, 0, DType.INT32))
    layers.node(LayerNorm(), [x, weight, offset], layers.quant(layers.rng.uniform(0.02, 0.05)))


def add_recurrent(layers: Layers) -> None:
    """An LSTM or a GRU over a short sequence."""
    rng = layers.rng
    steps, inputs, units = (int(rng.integers(low, high)) for low, high in ((1, 9), (2, 25), (2, 25)))
    op, gates = (LSTM(), 4) if rng.integers(2) else (GRU(), 3)
    x, output = layers.input((steps, inputs)), Quant.per_tensor(1 / 128, 0)
    sources = (layers.builder.value(x).quant, output)
    names, biases = [], []
    for size, source in zip((inputs, units), sources, strict=True):
        steps_of = np.full(gates * units, rng.uniform(0.002, 0.01), np.float32)
        weight = rng.integers(-127, 128, (gates * units, size)).astype(np.int8)
        names.append(layers.builder.constant("w", weight, quant=Quant.per_axis(steps_of, 0, DType.INT8)))
        bias = rng.integers(-3000, 3000, gates * units).astype(np.int32)
        quant = Quant.per_axis(steps_of * np.float32(source.scale[0]), 0, DType.INT32)  # type: ignore[union-attr]
        biases.append(layers.builder.constant("b", bias, quant=quant))
    layers.node(op, [x, *names, *biases[: len(biases) if gates == 3 else 1]], output)


def add_lookup(layers: Layers) -> None:
    """A pointwise function from a table."""
    layers.node(HardSwish(), [layers.input(_tensor(layers))], layers.quant())


def add_prelu(layers: Layers) -> None:
    """A rectifier with slopes."""
    shape = _tensor(layers)
    x = layers.input(shape, Quant.per_tensor(0.05 / layers.finer, 0))
    slopes = layers.builder.constant(
        "slopes", layers.rng.integers(10, 100, shape[2]).astype(np.int8), dtype=DType.INT8, quant=Quant.per_tensor(0.004)
    )
    wide = layers.dtype is DType.INT16
    scale = float(layers.rng.choice([0.03, 0.06, 0.15])) / layers.finer
    layers.node(PRelu(), [x, slopes], Quant.per_tensor(scale, 0 if wide else -20))


def add_pad(layers: Layers) -> None:
    """Constant padding."""
    x = layers.input(_tensor(layers))
    padding = ((0, 0), (0, int(layers.rng.integers(1, 3))), (int(layers.rng.integers(0, 2)), 1), (0, 0))
    layers.node(Pad(padding), [x], layers.builder.value(x).quant)


def add_concat(layers: Layers) -> None:
    """A concatenation of channels."""
    height, width, channels = _tensor(layers, MOST_BYTES // 4)
    quant = layers.quant()
    widths = [channels, *(layers.channels() % 32 + 1 for _ in range(int(layers.rng.integers(1, 3))))]
    layers.node(Concat(3), [layers.input((height, width, wide), quant) for wide in widths], quant)


def add_slice(layers: Layers) -> None:
    """Some of the rows and channels."""
    height, width, channels = _tensor(layers)
    x = layers.input((height, width, channels))
    size = (None, max(1, height // 2), width, max(1, channels // 2))
    layers.node(Slice((0, 0, 0, 0), size, (1, 1, 1, 1)), [x], layers.builder.value(x).quant)


def add_transpose(layers: Layers) -> None:
    """A transposition."""
    x = layers.input(_tensor(layers))
    order = [(0, 2, 1, 3), (0, 3, 1, 2), (0, 3, 2, 1)][int(layers.rng.integers(3))]
    layers.node(Transpose(order), [x], layers.builder.value(x).quant)


def add_resize(layers: Layers) -> None:
    """A picture made twice as large."""
    height, width, channels = _tensor(layers, MOST_BYTES // 8)
    x = layers.input((height, width, channels))
    mode = "nearest" if layers.rng.integers(2) else "bilinear"
    layers.node(Resize((2 * height, 2 * width), mode), [x], layers.builder.value(x).quant)


def add_edge(layers: Layers) -> None:
    """To int8 or from it."""
    shape = _tensor(layers, MOST_BYTES // 8)
    if layers.rng.integers(2):
        layers.node(Quantize(), [layers.input(shape, dtype=DType.FLOAT32)], layers.quant())
    else:
        layers.node(Dequantize(), [layers.input(shape)], None, DType.FLOAT32)


def add_few_values_conv2d(layers: Layers) -> None:
    """A convolution, now and then a depthwise one, with weights of few values."""
    _formed(layers, few_values, add_conv2d if layers.rng.integers(5) else add_depthwise_conv2d)


def add_few_values_dense(layers: Layers) -> None:
    """A dense layer with weights of few values."""
    _formed(layers, few_values, add_dense)


def add_pruned_conv2d(layers: Layers) -> None:
    """A convolution whose weights are mostly zeros."""
    _formed(layers, pruned, add_conv2d)


def add_pruned_dense(layers: Layers) -> None:
    """A dense layer whose weights are mostly zeros."""
    _formed(layers, pruned, add_dense)


def _formed(layers: Layers, form: Form, kind: Callable[[Layers], None]) -> None:
    layers.form = form
    kind(layers)
    layers.form = any_weights


Kinds = tuple[tuple[Callable[[Layers], None], float], ...]
def add_wide_rescaled(layers: Layers) -> None:
    """From one grid to another, and tables that are interpolated."""
    x = layers.input(_tensor(layers, MOST_BYTES // 4))
    op = [Requantize(), Relu(), LeakyRelu(0.1), Sigmoid(), Tanh()][int(layers.rng.integers(5))]
    quant = Quant.per_tensor(1 / 32768, 0) if isinstance(op, Sigmoid | Tanh) else layers.quant()
    layers.node(op, [x], quant)
    if isinstance(op, Requantize):
        layers.node(op, [layers.input(_tensor(layers, MOST_BYTES // 4))], Quant.per_tensor(0.05, -3), DType.INT8)
        x = layers.input(_tensor(layers, MOST_BYTES // 4), Quant.per_tensor(0.05, -3), DType.INT8)
        layers.node(op, [x], layers.quant())


def wide(kind: Callable[[Layers], None], form: Form = any_weights) -> Callable[[Layers], None]:
    """Two layers of ``kind`` with int16 activations.

    Two, as the compiler takes what it knows of the tables of one call alone for a mistake in the kernel.
    """

    def add(layers: Layers) -> None:
        layers.dtype, layers.form = DType.INT16, form
        kind(layers)
        kind(layers)
        layers.dtype, layers.form = DType.INT8, any_weights

    return add


WIDE: Kinds = (
    (add_conv2d, 4),
    (add_depthwise_conv2d, 3),
    (add_dense, 2),
    (add_transpose_conv2d, 2),
    (add_sum, 2),
    (add_mul, 1),
    (add_pool, 3),
    (add_mean, 1),
    (add_softmax, 1),
    (add_matmul, 1),
    (add_wide_rescaled, 3),
    (add_prelu, 1),
    (add_resize, 1),
    (add_edge, 1),
)
"""What has kernels for int16 activations."""
WORDS = (add_conv2d, add_depthwise_conv2d, add_transpose_conv2d)
"""What has them for weights of as many bits."""
WIDE_LAYERS: Kinds = (*((wide(kind), weight) for kind, weight in WIDE), *((wide(kind, wide_weights), 1.5) for kind in WORDS))


def add_wide(layers: Layers) -> None:
    """Two layers of int16 activations, now and then with weights of as many bits."""
    shares = np.array([weight for _, weight in WIDE_LAYERS])
    WIDE_LAYERS[int(layers.rng.choice(len(WIDE_LAYERS), p=shares / shares.sum()))][0](layers)


FORMED: Kinds = (
    (add_few_values_conv2d, 3),
    (add_few_values_dense, 1),
    (add_pruned_conv2d, 3),
    (add_pruned_dense, 1),
)
"""Layers whose weights have a structure."""
SEQUENCES: Kinds = ((add_matmul, 2), (add_softmax, 1), (add_layer_norm, 2), (add_recurrent, 3))
KINDS: Kinds = (
    (add_conv2d, 36),
    (add_depthwise_conv2d, 20),
    (add_dense, 8),
    (add_sum, 7),
    (add_pool, 7),
    (add_mean, 3),
    (add_softmax, 3),
    (add_lookup, 2),
    (add_matmul, 2),
    (add_layer_norm, 1.5),
    (add_recurrent, 1.5),
    (add_mul, 3),
    (add_pad, 2),
    (add_concat, 3),
    (add_slice, 1),
    (add_transpose, 1.5),
    (add_resize, 2),
    (add_transpose_conv2d, 2),
    (add_prelu, 1.5),
    (add_edge, 1),
    *FORMED,
    (add_wide, 2),
)
"""Each kind with its weight: how often it is drawn."""


def random_layers(seed: int, count: int, *, even: bool = False, kinds: Kinds = KINDS) -> Graph:
    """``count`` layers side by side; the same ones for the same seed. ``even``: as many of each kind, which fits the rare ones better."""
    layers = Layers(np.random.default_rng(seed))
    shares = np.array([weight for _, weight in kinds]) / sum(weight for _, weight in kinds)
    drawn = 0
    while len(layers.outputs) < count:
        kinds[drawn % len(kinds) if even else int(layers.rng.choice(len(kinds), p=shares))][0](layers)
        drawn += 1
    return verify(layers.builder.finish(layers.outputs))


def random_inputs(graph: Graph, seed: int = 0) -> list[Array]:
    """One sample for every input, like activations around their zero point."""
    rng = np.random.default_rng(seed)
    arrays: list[Array] = []
    for name in graph.inputs:
        value = graph.value(name)
        shape = (1, *(size or 1 for size in value.shape[1:]))
        if value.dtype is DType.FLOAT32:
            arrays.append(rng.normal(0, 2, shape).astype(np.float32).view(np.int32))
        else:
            zero_point = -128 if value.quant is None else value.quant.zero_point[0]
            wide = 256 if value.dtype is DType.INT16 else 1
            numbers = zero_point + (abs if zero_point == -128 else np.positive)(rng.normal(0, 45 * wide, shape))
            arrays.append(np.clip(numbers, value.dtype.minimum, value.dtype.maximum).astype(value.dtype.numpy))
    return arrays


def side_by_side(graph: Graph, target: Target) -> Program:
    """A program whose outputs, which nobody reads, and workspaces share one place each: the memory of one layer beside all inputs.

    Every third matrix product does without working memory, where that is another kernel.
    """
    graph = single_sample(graph)
    sizes = {name: graph.value(name).bytes for name in graph.inputs}
    offsets, end = {}, 0
    for name, size in sizes.items():
        offsets[name] = end
        end += -(-size // 16) * 16
    for name in graph.outputs:
        offsets[name] = end
    end += -(-max(graph.value(name).bytes for name in graph.outputs) // 16) * 16
    scratch: dict[str, str] = {}
    largest = 0
    several = [node for node in graph.nodes if layer_can_be_frugal(graph, node, target.kernels, target.sparse_share)]
    frugal = frozenset(node.name for node in several[::3])
    for node in graph.nodes:
        if node.name in frugal:
            continue
        needed = layer_workspace_bytes(graph, node, target.kernels, target.sparse_share)
        if needed:
            scratch[node.name] = f"{node.name} workspace"
            offsets[scratch[node.name]] = end
            largest = max(largest, needed)
    end += -(-largest // 16) * 16
    buffers = (Buffer("all", end, 0, len(graph.nodes)),)
    plan = MemoryPlan(buffers, offsets, {name: name for name in graph.values if name in offsets}, end, end, "side by side")
    return Program(graph, target, plan, scratch, graph, frugal=frugal)
