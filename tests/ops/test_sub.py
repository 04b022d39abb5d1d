from __future__ import annotations

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.ops.sub import Sub
from tests.ops.pairs import every_pair, random_pair
from tests.ops.tflm import ACTIVATIONS, compare, random_activation


def sub_options(op: Sub) -> schema.SubOptionsT:
    options = schema.SubOptionsT()
    options.fusedActivationFunction = ACTIVATIONS[op.activation]
    return options


def test_bytes_are_those_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(8)
    for _ in range(150):
        op = Sub(random_activation(rng))
        operands, quant = random_pair(rng)
        compare(op, schema.BuiltinOperator.SUB, sub_options(op), operands, quant)


def test_every_pair_of_int8_is_that_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(9)
    for _ in range(10):
        op = Sub(random_activation(rng))
        operands, quant = every_pair(rng)
        compare(op, schema.BuiltinOperator.SUB, sub_options(op), operands, quant)


def test_float_form_and_bounds() -> None:
    x, y = torch.randn(2, 3), torch.randn(3)
    torch.testing.assert_close(Sub("relu6").evaluate([x, y])[0], (x - y).clamp(0, 6))
    assert Sub().bounds([(-1.0, 2.0), (3.0, 5.0)]) == (-6.0, -1.0)
