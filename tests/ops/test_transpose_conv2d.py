from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis
from edgewright.ops.padding import same_padding
from edgewright.ops.transpose_conv2d import TransposeConv2D
from tests.ops.layers import output_quant, random_bias, random_weight
from tests.ops.tflm import ACTIVATIONS, Operand, compare, random_activation, random_int8, random_quant
from tests.tflite_builder import constant


def transpose_options(op: TransposeConv2D, *, same: bool) -> schema.TransposeConvOptionsT:
    options = schema.TransposeConvOptionsT()
    options.padding = schema.Padding.SAME if same else schema.Padding.VALID
    options.strideH, options.strideW = op.stride
    options.fusedActivationFunction = ACTIVATIONS[op.activation]
    return options


def random_transpose(rng: np.random.Generator) -> tuple[TransposeConv2D, list[Operand], Quant, bool]:
    inputs, outputs = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    kernel, stride, size = (tuple(rng.integers(1, 5, 2).tolist()) for _ in range(3))
    same = bool(rng.random() < 0.5)
    padding, extra = [], []
    for axis in (0, 1):
        # What a forward convolution with SAME would have cut off from an output of size * stride, or nothing (VALID).
        large = size[axis] * stride[axis] if same else (size[axis] - 1) * stride[axis] + kernel[axis] + int(rng.integers(0, stride[axis]))
        padding.append(same_padding(large, kernel[axis], stride[axis]) if same else (0, 0))
        extra.append(large - ((size[axis] - 1) * stride[axis] + kernel[axis] - sum(padding[axis])))
    op = TransposeConv2D(stride, (padding[0], padding[1]), (extra[0], extra[1]), random_activation(rng))
    quant = random_quant(rng)
    weight, weight_quant = random_weight(rng, (outputs, *kernel, inputs), per_channel=bool(rng.random() < 0.8))
    operands = [Operand(random_int8(rng, (2, *size, inputs)), quant), Operand(weight, weight_quant, fixed=True)]
    if rng.random() < 0.7:
        operands.append(random_bias(rng, weight_quant, quant.scale[0], outputs))
    return op, operands, output_quant(rng, operands[1], quant.scale[0]), same


def test_bytes_are_those_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        op, operands, quant, same = random_transpose(rng)
        shape = op.infer([operand.value("x") for operand in operands])[0]
        specs = [constant(np.array(shape)), operands[1].spec(), operands[0].spec(), *(operand.spec() for operand in operands[2:])]
        options = transpose_options(op, same=same)
        compare(op, schema.BuiltinOperator.TRANSPOSE_CONV, options, operands, quant, specs=specs)


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("output_padding", [0, 1])
def test_float_form_is_torch_s(padding: int, output_padding: int) -> None:
    theirs = torch.nn.ConvTranspose2d(3, 4, 3, stride=2, padding=padding, output_padding=output_padding)
    x = torch.randn(2, 3, 5, 6)
    op = TransposeConv2D((2, 2), ((padding, padding),) * 2, (output_padding, output_padding))
    ours = op.evaluate([x.permute(0, 2, 3, 1), theirs.weight.permute(1, 2, 3, 0), theirs.bias])[0]
    torch.testing.assert_close(ours.permute(0, 3, 1, 2), theirs(x))
    assert op.infer([Value("x", (None, 5, 6, 3)), Value("w", (4, 3, 3, 3))]) == ((None, *ours.shape[1:]),)


def test_facts() -> None:
    op = TransposeConv2D((2, 2))
    ins = [Value("x", (None, 4, 5, 3)), Value("w", (6, 3, 2, 3)), Value("b", (6,))]
    outs = [Value("y", op.infer(ins)[0])]
    assert op.macs(ins, outs) == 4 * 5 * 3 * 6 * 3 * 2
    assert op.window(ins) is None
    couplings = op.couplings(ins, outs)
    assert couplings is not None
    assert {(c.first, c.second) for c in couplings} == {
        (Axis("in", 0, 3), Axis("in", 1, 3)), (Axis("in", 1, 0), Axis("out", 0, 3)), (Axis("in", 2, 0), Axis("out", 0, 3))}


@pytest.mark.parametrize(
    ("op", "x", "weight", "message"),
    [
        (TransposeConv2D(), (None, 4, 4, 3), (2, 3, 3, 4), "does not fit weight shape"),
        (TransposeConv2D(stride=(0, 1)), (None, 4, 4, 3), (2, 3, 3, 3), "stride must be at least 1"),
        (TransposeConv2D(padding=((3, 3), (0, 0))), (None, 1, 4, 3), (2, 3, 3, 3), "nothing is left"),
        (TransposeConv2D(output_padding=(-1, 0)), (None, 1, 4, 3), (2, 3, 3, 3), "must not be negative"),
    ],
)
def test_what_does_not_fit_is_an_error(
    op: TransposeConv2D, x: tuple[int | None, ...], weight: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        op.infer([Value("x", x), Value("w", weight)])
