from __future__ import annotations

import math

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.ir.dtype import Quant
from edgewright.ops.mul import Mul
from tests.ops.pairs import every_pair, random_pair
from tests.ops.tflm import ACTIVATIONS, Operand, compare, random_activation


def mul_options(op: Mul) -> schema.MulOptionsT:
    options = schema.MulOptionsT()
    options.fusedActivationFunction = ACTIVATIONS[op.activation]
    return options


def product_quant(rng: np.random.Generator, operands: list[Operand]) -> Quant:
    """A grid that products fill, or one so fine that the factor is above 1, or far too coarse."""
    scale = math.prod(operand.quant.scale[0] for operand in operands if operand.quant is not None)
    factor = rng.choice([0.003, 0.9, 60.0, 200.0, 1e7], p=[0.05, 0.1, 0.4, 0.4, 0.05])
    return Quant.per_tensor(max(scale * factor, 1e-30), int(rng.integers(-128, 128)))


def test_bytes_are_those_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(10)
    for _ in range(150):
        op = Mul(random_activation(rng))
        operands, _ = random_pair(rng)
        compare(op, schema.BuiltinOperator.MUL, mul_options(op), operands, product_quant(rng, operands))


def test_every_pair_of_int8_is_that_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(11)
    for _ in range(10):
        op = Mul(random_activation(rng))
        operands, _ = every_pair(rng)
        compare(op, schema.BuiltinOperator.MUL, mul_options(op), operands, product_quant(rng, operands))


def test_float_form_and_bounds() -> None:
    x, y = torch.randn(2, 3), torch.randn(2, 1)
    torch.testing.assert_close(Mul("relu_n1_to_1").evaluate([x, y])[0], (x * y).clamp(-1, 1))
    assert Mul().bounds([(-1.0, 2.0), (3.0, 5.0)]) == (-5.0, 10.0)
    assert Mul().bounds([(1.0, 2.0), (3.0, 5.0)]) == (3.0, 10.0)
    assert Mul().bounds([(0.0, 1.0), (-math.inf, math.inf)]) == (-math.inf, math.inf)
    assert Mul().bounds([(0.0, 0.0), (-math.inf, math.inf)]) == (0.0, 0.0)
