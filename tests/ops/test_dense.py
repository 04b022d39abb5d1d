from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis, Window
from edgewright.ops.dense import Dense
from edgewright.ops.requant import quantize_multipliers, requantize
from tests.ops.layers import output_quant, random_bias, random_weight
from tests.ops.tflm import ACTIVATIONS, Operand, compare, ours, random_activation, random_int8, random_quant


def test_bytes_are_those_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(5)
    for number in range(300):
        op = Dense(random_activation(rng))
        inputs, outputs = int(rng.integers(1, 80)), int(rng.integers(1, 12))
        leading = rng.integers(1, 4, int(rng.integers(1, 4))).tolist()
        quant = random_quant(rng)
        weight, weight_quant = random_weight(rng, (outputs, inputs), per_channel=number % 2 == 0)
        operands = [Operand(random_int8(rng, (*leading, inputs)), quant), Operand(weight, weight_quant, fixed=True)]
        if rng.random() < 0.8:
            operands.append(random_bias(rng, weight_quant, quant.scale[0], outputs))
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = ACTIVATIONS[op.activation]
        options.keepNumDims = True
        compare(op, schema.BuiltinOperator.FULLY_CONNECTED, options, operands, output_quant(rng, operands[1], quant.scale[0]))


def test_factors_are_computed_in_double(needs_tflite_micro: None) -> None:
    """Scales are chosen so that the product of the scales in float32, as older versions had it, would give other bytes somewhere."""
    rng = np.random.default_rng(50)
    x = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)), -1).reshape(-1, 2).astype(np.int8)
    weight = np.array([[127, 1], [-127, 3]], np.int8)
    options = schema.FullyConnectedOptionsT()
    telling = 0
    for _ in range(150):
        quant, weight_quant = random_quant(rng), Quant.per_tensor(float(rng.uniform(0.001, 0.1)))
        out = Quant.per_tensor(quant.scale[0] * weight_quant.scale[0] * float(rng.uniform(130, 250)), 3)
        operands = [Operand(x, quant), Operand(weight, weight_quant, fixed=True)]
        single = quantize_multipliers([float(np.float32(quant.scale[0]) * np.float32(weight_quant.scale[0])) / out.scale[0]])
        sums = torch.from_numpy((x.astype(np.int64) - quant.zero_point[0]) @ weight.T.astype(np.int64))
        if (ours(Dense(), operands, out) != requantize(sums, single, 3, -128, 127).numpy()).any():
            telling += 1
            compare(Dense(), schema.BuiltinOperator.FULLY_CONNECTED, options, operands, out)
    assert telling >= 3


def test_float_form() -> None:
    x, weight, bias = torch.randn(2, 3, 5), torch.randn(4, 5), torch.randn(4)
    torch.testing.assert_close(Dense("relu").evaluate([x, weight, bias])[0], torch.relu(x @ weight.T + bias))
    torch.testing.assert_close(Dense().evaluate([x, weight])[0], x @ weight.T)


def test_facts() -> None:
    ins = [Value("x", (None, 7, 5)), Value("w", (4, 5)), Value("b", (4,))]
    outs = [Value("y", Dense().infer(ins)[0])]
    assert outs[0].shape == (None, 7, 4)
    assert Dense().macs(ins, outs) == 7 * 4 * 5
    couplings = Dense().couplings(ins, outs)
    assert couplings is not None
    assert {(c.first, c.second) for c in couplings} == {
        (Axis("in", 0, 2), Axis("in", 1, 1)), (Axis("in", 1, 0), Axis("out", 0, 2)), (Axis("in", 2, 0), Axis("out", 0, 2)),
        (Axis("in", 0, 1), Axis("out", 0, 1))}
    assert Dense().window(ins) is None
    assert Dense().window([Value("x", (None, 3, 3, 5)), ins[1]]) == Window()


@pytest.mark.parametrize(
    ("x", "weight", "bias"),
    [((None, 4), (2, 5), (2,)), ((None, 5), (2, 5, 1), (2,)), ((None, 5), (2, 5), (3,)), ((5,), (2, 5), (2,))],
)
def test_what_does_not_fit_is_an_error(x: tuple[int | None, ...], weight: tuple[int, ...], bias: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="Dense"):
        Dense().infer([Value("x", x), Value("w", weight), Value("b", bias)])
