"""Arithmetic on int16 values beside TFLM's, where the integer form is the same; where it is not, a clear refusal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ops.add import Add
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.dense import Dense
from edgewright.ops.gates import UNIT_SCALE
from edgewright.ops.log_softmax import LogSoftmax
from edgewright.ops.matmul import MatMul
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.mean import Mean
from edgewright.ops.mul import Mul
from edgewright.ops.prelu import PRelu
from edgewright.ops.requant import Multiplier, quantize_multipliers, reduce_multiplier
from edgewright.ops.requantize import Requantize
from edgewright.ops.sigmoid import Sigmoid
from edgewright.ops.softmax import Softmax
from edgewright.ops.sub import Sub
from edgewright.ops.tanh import Tanh
from tests.ops.layers import random_weight
from tests.ops.pools import pool_options, random_pool
from tests.ops.test_add import add_options
from tests.ops.test_conv2d import conv_options, random_conv
from tests.ops.test_depthwise_conv2d import channels_last, depthwise_options, random_depthwise
from tests.ops.test_mean import reducer_options
from tests.ops.test_mul import mul_options
from tests.ops.test_sub import sub_options
from tests.ops.test_transpose_conv2d import random_transpose, transpose_options
from tests.ops.tflm import ACTIVATIONS, Operand, compare, random_activation
from tests.tflite_builder import TensorSpec, constant

CODES = schema.BuiltinOperator


def symmetric(scale: float) -> Quant:
    return Quant.per_tensor(scale, 0, DType.INT16)


def random_operand(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Operand, float]:
    scale = float(np.exp(rng.uniform(np.log(1e-5), np.log(1e-3))))
    return Operand(rng.integers(-32768, 32768, shape).astype(np.int16), symmetric(scale)), scale


@pytest.mark.parametrize("kind", [Add, Sub, Mul])
def test_elementwise(needs_tflite_micro: None, kind: type[Add] | type[Sub] | type[Mul]) -> None:
    rng = np.random.default_rng(30)
    for _ in range(30):
        op = kind(random_activation(rng))
        (first, a), (second, b) = (random_operand(rng, (1, 50, 40)) for _ in range(2))
        out = symmetric((a * b * 20_000 if kind is Mul else max(a, b)) * float(rng.uniform(0.6, 3)))
        if isinstance(op, Mul):
            compare(op, CODES.MUL, mul_options(op), [first, second], out)
        else:
            options = add_options(op) if isinstance(op, Add) else sub_options(op)
            options.potScaleInt16 = False
            compare(op, CODES.ADD if isinstance(op, Add) else CODES.SUB, options, [first, second], out)


def test_mean(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(31)
    for _ in range(30):
        operand, scale = random_operand(rng, (2, 5, 7, 30))
        out = symmetric(scale * float(rng.uniform(0.1, 2)))
        compare(Mean((1, 2)), CODES.MEAN, reducer_options(Mean()), [operand], out, extra=[np.array([1, 2])])


@pytest.mark.parametrize(("kind", "code"), [(MaxPool2D, CODES.MAX_POOL_2D), (AveragePool2D, CODES.AVERAGE_POOL_2D)])
def test_pools(needs_tflite_micro: None, kind: type[MaxPool2D] | type[AveragePool2D], code: int) -> None:
    rng = np.random.default_rng(32)
    for _ in range(30):
        settings, size, same = random_pool(rng)
        op = kind(*settings)
        operand, scale = random_operand(rng, (2, *size, 3))
        compare(op, code, pool_options(op, same=same), [operand], symmetric(scale))


class WideBias(Operand):
    """A bias that has 32 bits here and 64 in the file."""

    def spec(self) -> TensorSpec:
        return TensorSpec(self.array.shape, DType.INT32, self.quant, self.array.astype(np.int64))


def widened(rng: np.random.Generator, operands: list[Operand]) -> tuple[list[Operand], Quant]:
    """Operands of an int8 layer with int16 data, all or nothing but the ends of its range, and a grid for what comes out."""
    weight = operands[1].array
    scales = np.clip(np.asarray(operands[1].quant.scale, np.float32), 1e-4, 3e-2)
    quant = Quant.per_axis(scales, 0) if operands[1].quant.axis is not None else Quant.per_tensor(float(scales[0]))
    data, scale = random_operand(rng, operands[0].array.shape)
    if rng.random() < 0.2:
        data.array = rng.choice(np.array([-32768, 32767], np.int16), size=data.array.shape)
    grid = Quant(DType.INT32, tuple((scales * np.float32(scale)).tolist()), (0,) * len(scales), quant.axis)
    reach = int(rng.choice([10_000, 1 << 24, 1 << 30]))
    biases = [WideBias(rng.integers(-reach, reach, len(weight)).astype(np.int32), grid, fixed=True) for _ in operands[2:]]
    spread = 18_000 * 70 * np.sqrt(weight[0].size) * scale * float(np.median(scales))
    out = symmetric(float(spread / rng.choice([300.0, 10_000.0, 20_000.0, 2e6])))
    return [data, Operand(weight, quant, fixed=True), *biases], out


def test_convolutions(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(33)
    for _ in range(150):
        op, operands, _, same = random_conv(rng)
        operands, out = widened(rng, operands)
        compare(op, CODES.CONV_2D, conv_options(op, same=same), operands, out)


def test_depthwise_convolutions(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(34)
    for _ in range(150):
        op, operands, _, same = random_depthwise(rng)
        operands, out = widened(rng, operands)
        specs = [operands[0].spec(), channels_last(operands[1]), *(operand.spec() for operand in operands[2:])]
        compare(op, CODES.DEPTHWISE_CONV_2D, depthwise_options(op, same=same), operands, out, specs=specs)


def test_transposed_convolutions(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(35)
    for _ in range(100):
        op, operands, _, same = random_transpose(rng)
        operands, out = widened(rng, operands)
        shape = op.infer([operand.value("x") for operand in operands])[0]
        specs = [constant(np.array(shape)), operands[1].spec(), operands[0].spec(), *(operand.spec() for operand in operands[2:])]
        compare(op, CODES.TRANSPOSE_CONV, transpose_options(op, same=same), operands, out, specs=specs)


def test_dense_layers(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(36)
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = True
    for number in range(150):
        inputs, outputs = int(rng.choice([rng.integers(1, 80), 1500])), int(rng.integers(1, 12))
        weight, quant = random_weight(rng, (outputs, inputs), per_channel=number % 2 == 0)
        operands = [Operand(np.zeros((3, inputs), np.int8), None), Operand(weight, quant, fixed=True)]
        operands += [Operand(np.zeros(outputs, np.int32), None)] * int(rng.random() < 0.8)
        operands, out = widened(rng, operands)
        op = Dense(random_activation(rng))
        options.fusedActivationFunction = ACTIVATIONS[op.activation]
        compare(op, CODES.FULLY_CONNECTED, options, operands, out)


def test_products_of_activations(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(37)
    options = schema.BatchMatMulOptionsT()
    for _ in range(40):
        options.adjX, options.adjY = False, bool(rng.integers(2))
        rows, depth, columns = (int(size) for size in rng.integers(1, 12, 3))
        second = (2, columns, depth) if options.adjY else (2, depth, columns)
        pair = [random_operand(rng, shape) for shape in ((2, rows, depth), second)]
        out = symmetric(float(pair[0][1] * pair[1][1] * rng.choice([300.0, 20_000.0])))
        compare(MatMul(options.adjY), CODES.BATCH_MATMUL, options, [operand for operand, _ in pair], out)


def test_softmax(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(38)
    options = schema.SoftmaxOptionsT()
    for _ in range(150):
        options.beta = float(rng.choice([1.0, 0.5, 2.7]))
        operand, _ = random_operand(rng, (int(rng.integers(1, 5)), int(rng.choice([1, 2, 10, 37, 300]))))
        operand.array = (operand.array * rng.choice([1.0, 0.1, 0.001])).astype(np.int16)
        operand.quant = symmetric(float(np.exp(rng.uniform(np.log(1e-6), np.log(1e-2)))))
        compare(Softmax(options.beta), CODES.SOFTMAX, options, [operand], symmetric(UNIT_SCALE))


@pytest.mark.parametrize(("op", "code"), [(Sigmoid(), CODES.LOGISTIC), (Tanh(), CODES.TANH)])
def test_activation_functions_on_every_input(op: Sigmoid | Tanh, code: int, needs_tflite_micro: None) -> None:
    every = np.arange(-32768, 32768).astype(np.int16)[None]
    scales = [2.0**-12, 2.0**-11, 2.0**-10, 2.0**-13, 1.0005 * 2.0**-12, 1e-5, 3e-4, 1.234e-3, 0.02, 1e-8]
    for scale in scales:
        compare(op, code, None, [Operand(every, symmetric(scale))], symmetric(UNIT_SCALE))


def test_slopes_by_channel_stay_int8(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(39)
    for _ in range(20):
        operand, scale = random_operand(rng, (2, 30))
        alpha = Operand(rng.integers(-128, 128, 30).astype(np.int8), Quant.per_tensor(0.004, int(rng.integers(-128, 128))), fixed=True)
        compare(PRelu(), CODES.PRELU, None, [operand, alpha], symmetric(scale * float(rng.uniform(0.3, 2))))


@pytest.mark.parametrize(("before", "after"), [(DType.INT8, DType.INT16), (DType.INT16, DType.INT8), (DType.INT16, DType.INT16)])
def test_changes_of_width(before: DType, after: DType, needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(40)

    def grid(dtype: DType, scale: float) -> Quant:
        return symmetric(scale / 256) if dtype is DType.INT16 else Quant.per_tensor(scale, int(rng.integers(-128, 128)))

    for _ in range(20):
        array = rng.integers(before.minimum, before.maximum + 1, (1, 500)).astype(before.numpy)
        compare(Requantize(), CODES.QUANTIZE, schema.QuantizeOptionsT(), [Operand(array, grid(before, 0.1))],
                grid(after, float(rng.uniform(0.02, 0.3))))


def test_what_has_no_form_for_int16_says_so() -> None:
    wide = Value("x", (1, 4), DType.INT16, symmetric(1e-3))
    weight = Value("w", (2, 4), DType.INT8, Quant.per_tensor(0.1))
    x = torch.zeros(1, 4, dtype=torch.int32)
    for op in (Softmax(), Sigmoid(), Tanh(), LogSoftmax()):
        with pytest.raises(UnsupportedError, match="int16 'x'|output 'x'"):
            op.evaluate_integer([x], [wide], [wide])
    with pytest.raises(UnsupportedError, match="int16 'x' have no integer form that gives int8 'y'") as caught:
        out = Value("y", (1, 2), DType.INT8, Quant.per_tensor(0.1))
        Dense().evaluate_integer([x, torch.zeros(2, 4, dtype=torch.int32)], [wide, weight], [out])
    assert "put a Requantize between" in caught.value.hint


def test_factors_too_large_for_15_bits_are_refused() -> None:
    assert reduce_multiplier(quantize_multipliers([0.5, 0.9999999])) == Multiplier((1 << 14, 0x7FFF), (0, 0))
    with pytest.raises(ModelError, match="scaled by 128 or more"):
        reduce_multiplier(quantize_multipliers([200.0]))
