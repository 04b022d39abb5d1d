from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis, Window
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.padding import same_padding
from tests.ops.layers import output_quant, random_bias, random_weight
from tests.ops.tflm import ACTIVATIONS, Operand, compare, random_activation, random_int8, random_quant
from tests.tflite_builder import TensorSpec


def depthwise_options(op: DepthwiseConv2D, *, same: bool) -> schema.DepthwiseConv2DOptionsT:
    options = schema.DepthwiseConv2DOptionsT()
    options.padding = schema.Padding.SAME if same else schema.Padding.VALID
    options.strideH, options.strideW = op.stride
    options.dilationHFactor, options.dilationWFactor = op.dilation
    options.depthMultiplier = op.multiplier
    options.fusedActivationFunction = ACTIVATIONS[op.activation]
    return options


def channels_last(weight: Operand) -> TensorSpec:
    """The weight as .tflite has it: (1, kh, kw, channels), quantized along axis 3."""
    assert weight.quant is not None
    array = np.ascontiguousarray(weight.array.transpose(3, 1, 2, 0))
    quant = Quant(weight.quant.dtype, weight.quant.scale, weight.quant.zero_point, None if weight.quant.axis is None else 3)
    return TensorSpec(array.shape, quant.dtype, quant, array)


def random_depthwise(rng: np.random.Generator) -> tuple[DepthwiseConv2D, list[Operand], Quant, bool]:
    channels, multiplier = int(rng.integers(1, 7)), int(rng.choice([1, 1, 2, 3]))
    kernel, stride = tuple(rng.integers(1, 5, 2).tolist()), tuple(rng.integers(1, 4, 2).tolist())
    dilation = (1, 1) if rng.random() < 0.5 else tuple(rng.integers(1, 4, 2).tolist())
    size = [int(rng.integers(1, 6)) + dilation[axis] * (kernel[axis] - 1) for axis in (0, 1)]
    same = bool(rng.random() < 0.5)
    padding = tuple(same_padding(size[axis], kernel[axis], stride[axis], dilation[axis]) if same else (0, 0) for axis in (0, 1))
    op = DepthwiseConv2D(stride, padding, dilation, multiplier, random_activation(rng))
    quant = random_quant(rng)
    weight, weight_quant = random_weight(rng, (channels * multiplier, *kernel, 1), per_channel=bool(rng.random() < 0.8))
    operands = [Operand(random_int8(rng, (2, *size, channels)), quant), Operand(weight, weight_quant, fixed=True)]
    if rng.random() < 0.8:
        operands.append(random_bias(rng, weight_quant, quant.scale[0], channels * multiplier))
    return op, operands, output_quant(rng, operands[1], quant.scale[0]), same


def test_bytes_are_those_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(3)
    for _ in range(250):
        op, operands, quant, same = random_depthwise(rng)
        specs = [operands[0].spec(), channels_last(operands[1]), *(operand.spec() for operand in operands[2:])]
        compare(op, schema.BuiltinOperator.DEPTHWISE_CONV_2D, depthwise_options(op, same=same), operands, quant, specs=specs)


def test_output_channel_c_times_multiplier_plus_j_comes_from_channel_c() -> None:
    x = torch.tensor([1.0, 10.0]).reshape(1, 1, 1, 2)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).reshape(6, 1, 1, 1)
    assert DepthwiseConv2D(multiplier=3).evaluate([x, weight])[0].flatten().tolist() == [1, 2, 3, 40, 50, 60]


def test_facts() -> None:
    op = DepthwiseConv2D((2, 2), multiplier=2)
    ins = [Value("x", (None, 8, 8, 3)), Value("w", (6, 3, 3, 1)), Value("b", (6,))]
    outs = [Value("y", op.infer(ins)[0])]
    assert outs[0].shape == (None, 3, 3, 6)
    assert op.macs(ins, outs) == 3 * 3 * 6 * 9
    assert op.window(ins) == Window((3, 3), (2, 2))
    couplings = op.couplings(ins, outs)
    assert couplings is not None
    first, second, third = couplings
    assert (first.first, first.second) == (Axis("in", 0, 3), Axis("in", 1, 0)) and first.pairs is not None
    assert first.pairs.tolist() == [[0, 0], [0, 1], [1, 2], [1, 3], [2, 4], [2, 5]]
    assert (second.first, second.second, second.pairs) == (Axis("in", 1, 0), Axis("out", 0, 3), None)
    assert (third.first, third.second) == (Axis("in", 2, 0), Axis("out", 0, 3))
    assert op.resized(ins, {Axis("in", 0, 3): np.array([1]), Axis("in", 1, 0): np.array([2, 3])}) == op


@pytest.mark.parametrize(
    ("op", "x", "weight", "message"),
    [
        (DepthwiseConv2D(), (None, 4, 4, 3), (3, 3, 3, 2), "must be \\(channels, height, width, 1\\)"),
        (DepthwiseConv2D(multiplier=2), (None, 4, 4, 3), (3, 3, 3, 1), "with multiplier 2"),
        (DepthwiseConv2D(multiplier=0), (None, 4, 4, 3), (0, 3, 3, 1), "with multiplier 0"),
        (DepthwiseConv2D(), (None, 2, 4, 3), (3, 3, 3, 1), "does not fit into"),
    ],
)
def test_what_does_not_fit_is_an_error(
    op: DepthwiseConv2D, x: tuple[int | None, ...], weight: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        op.infer([Value("x", x), Value("w", weight)])
