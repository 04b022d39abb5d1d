from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis, Window
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.padding import same_padding
from tests.ops.layers import output_quant, random_bias, random_weight
from tests.ops.tflm import ACTIVATIONS, Operand, compare, ours, random_activation, random_int8, random_quant


def conv_options(op: Conv2D, *, same: bool) -> schema.Conv2DOptionsT:
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.SAME if same else schema.Padding.VALID
    options.strideH, options.strideW = op.stride
    options.dilationHFactor, options.dilationWFactor = op.dilation
    options.fusedActivationFunction = ACTIVATIONS[op.activation]
    return options


def random_conv(rng: np.random.Generator) -> tuple[Conv2D, list[Operand], Quant, bool]:
    groups = int(rng.choice([1, 1, 2, 3]))
    inputs, outputs = groups * int(rng.integers(1, 6)), groups * int(rng.integers(1, 5))
    kernel, stride = tuple(rng.integers(1, 5, 2).tolist()), tuple(rng.integers(1, 4, 2).tolist())
    dilation = (1, 1) if rng.random() < 0.5 else tuple(rng.integers(1, 4, 2).tolist())
    size = [int(rng.integers(1, 5)) + dilation[axis] * (kernel[axis] - 1) for axis in (0, 1)]
    same = bool(rng.random() < 0.5)
    padding = tuple(same_padding(size[axis], kernel[axis], stride[axis], dilation[axis]) if same else (0, 0) for axis in (0, 1))
    op = Conv2D(stride, padding, dilation, groups, random_activation(rng))
    quant = random_quant(rng)
    weight, weight_quant = random_weight(rng, (outputs, *kernel, inputs // groups), per_channel=bool(rng.random() < 0.8))
    operands = [Operand(random_int8(rng, (2, *size, inputs)), quant), Operand(weight, weight_quant, fixed=True)]
    if rng.random() < 0.8:
        operands.append(random_bias(rng, weight_quant, quant.scale[0], outputs))
    return op, operands, output_quant(rng, operands[1], quant.scale[0]), same


def test_bytes_are_those_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(1)
    for _ in range(250):
        op, operands, quant, same = random_conv(rng)
        compare(op, schema.BuiltinOperator.CONV_2D, conv_options(op, same=same), operands, quant)


def test_float_form_is_the_real_that_integers_stand_for() -> None:
    rng = np.random.default_rng(2)
    for _ in range(30):
        op, operands, quant, _ = random_conv(rng)
        quant = Quant.per_tensor(quant.scale[0] * 20, quant.zero_point[0])
        reals = [torch.from_numpy(operand.quant.to_real(operand.array).astype(np.float64)) for operand in operands if operand.quant]
        (real,) = op.evaluate(reals)
        low, high = quant.to_real(np.array(-128)), quant.to_real(np.array(127))
        got = quant.to_real(ours(op, operands, quant))
        assert np.abs(got - np.clip(real.numpy(), low, high)).max() <= quant.scale[0] * 1.01 + 1e-6


def test_asymmetric_padding_adds_real_zeros() -> None:
    op = Conv2D(padding=((0, 2), (1, 0)))
    x, weight = torch.randn(2, 4, 5, 3), torch.randn(2, 3, 2, 3)
    padded = torch.nn.functional.pad(x, (0, 0, 1, 0, 0, 2))
    torch.testing.assert_close(op.evaluate([x, weight])[0], Conv2D().evaluate([padded, weight])[0])


def test_sums_too_large_for_float32_stay_exact() -> None:
    x = Operand(np.full((1, 1, 1, 4096), 127, np.int8), Quant.per_tensor(1.0, -128))
    weight = Operand(np.full((2, 1, 1, 4096), 127, np.int8), Quant.per_axis(np.array([1.0, 1.0], np.float32), 0))
    weight.array[1, 0, 0, 0] = 126
    bias = Operand(np.array([-132_648_950, -132_648_600], np.int32), Quant.per_tensor(1.0, 0, DType.INT32))
    sums = np.array([4096 * 127 * 255, 4096 * 127 * 255 - 255]) + bias.array
    np.testing.assert_array_equal(ours(Conv2D(), [x, weight, bias], Quant.per_tensor(1.0)).flatten(), sums)


def test_gradient_flows() -> None:
    weight = torch.randn(2, 3, 3, 4, requires_grad=True)
    Conv2D(padding=((1, 1), (1, 1))).evaluate([torch.randn(1, 5, 5, 4), weight])[0].sum().backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0


def values(op: Conv2D, x: tuple[int | None, ...], weight: tuple[int, ...]) -> tuple[list[Value], list[Value]]:
    ins = [Value("x", x), Value("w", weight), Value("b", weight[:1])]
    return ins, [Value("y", op.infer(ins)[0])]


def test_facts() -> None:
    op = Conv2D((2, 1), ((1, 1), (0, 1)), (1, 2))
    ins, outs = values(op, (None, 9, 8, 3), (5, 3, 2, 3))
    assert outs[0].shape == (None, 5, 7, 5)
    assert op.macs(ins, outs) == 5 * 7 * 5 * 3 * 2 * 3
    assert op.window(ins) == Window((3, 2), (2, 1), (1, 2), ((1, 1), (0, 1)))
    couplings = op.couplings(ins, outs)
    assert couplings is not None
    assert {(c.first, c.second) for c in couplings} == {
        (Axis("in", 0, 3), Axis("in", 1, 3)), (Axis("in", 1, 0), Axis("out", 0, 3)), (Axis("in", 2, 0), Axis("out", 0, 3))}


def test_grouped_convolution_loses_whole_groups() -> None:
    op = Conv2D(groups=3)
    ins, outs = values(op, (None, 4, 4, 6), (9, 1, 1, 2))
    couplings = op.couplings(ins, outs)
    assert couplings is not None
    (between,) = [c for c in couplings if c.first == Axis("in", 0, 3)]
    assert between.second == Axis("in", 1, 0) and between.pairs is not None
    assert sorted(map(tuple, between.pairs.tolist())) == sorted((i, o) for i in range(6) for o in range(9) if i // 2 == o // 3)
    smaller = op.resized(ins, {Axis("in", 0, 3): np.array([2, 3]), Axis("in", 1, 0): np.array([3, 4, 5])})
    assert smaller == Conv2D(groups=2)
    x, weight = torch.randn(1, 4, 4, 6), torch.randn(9, 1, 1, 2)
    kept = [0, 1, 2, 6, 7, 8]
    torch.testing.assert_close(smaller.evaluate([x[..., [0, 1, 4, 5]], weight[kept]])[0], op.evaluate([x, weight])[0][..., kept])


@pytest.mark.parametrize(
    ("op", "x", "weight", "message"),
    [
        (Conv2D(), (None, 4, 4, 3), (2, 3, 3, 4), "does not fit weight shape"),
        (Conv2D(), (None, 4, 4), (2, 3, 3, 4), "does not fit weight shape"),
        (Conv2D(), (None, 4, 4, 3), (2, 3, 3), "must be OHWI"),
        (Conv2D(), (None, 2, 4, 3), (2, 3, 3, 3), "does not fit into"),
        (Conv2D(groups=2), (None, 4, 4, 4), (3, 3, 3, 2), "do not divide into 2 groups"),
        (Conv2D(groups=0), (None, 4, 4, 0), (3, 3, 3, 2), "groups"),
        (Conv2D(stride=(0, 1)), (None, 4, 4, 3), (2, 3, 3, 3), "must be at least 1"),
        (Conv2D(padding=((-1, 0), (0, 0))), (None, 4, 4, 3), (2, 3, 3, 3), "negative padding"),
        (Conv2D(activation="swish"), (None, 4, 4, 3), (2, 3, 3, 3), "unknown fused activation"),
    ],
)
def test_what_does_not_fit_is_an_error(op: Conv2D, x: tuple[int | None, ...], weight: tuple[int, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        op.infer([Value("x", x), Value("w", weight)])
