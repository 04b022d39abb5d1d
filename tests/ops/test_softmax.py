from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Value
from edgewright.ops.softmax import Softmax
from tests.ops.tflm import Array, Operand, compare, ours, random_int8

OUTPUT = Quant.per_tensor(1 / 256, -128)


def random_logits(rng: np.random.Generator) -> Array:
    """Rows of int8: random, all the same, or one far above the others."""
    shape = [*rng.integers(1, 5, int(rng.integers(1, 4))).tolist(), int(rng.choice([1, 2, 10, 37, 300]))]
    logits = random_int8(rng, shape)
    if rng.random() < 0.2:
        logits[...] = int(rng.integers(-128, 128))
    if rng.random() < 0.2:
        logits[..., 0] = 127
    return logits


def random_scale(rng: np.random.Generator) -> float:
    """Any scale, most often a usual one; from 16 on, the next smaller input counts for nothing."""
    return float(np.exp(rng.uniform(np.log(1e-3), 0.0)) if rng.random() < 0.75 else rng.choice([1e-6, 16.0, 31.9, 40.0, 1e6]))


def test_bytes_are_those_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(15)
    for _ in range(250):
        op = Softmax(float(rng.choice([1.0, 0.5, 2.7])))
        options = schema.SoftmaxOptionsT()
        options.beta = op.beta
        operands = [Operand(random_logits(rng), Quant.per_tensor(random_scale(rng), int(rng.integers(-128, 128))))]
        compare(op, schema.BuiltinOperator.SOFTMAX, options, operands, OUTPUT)


def test_many_rows(needs_tflite_micro: None) -> None:
    """So many outputs that constants which are off in their last bits show."""
    rng = np.random.default_rng(20)
    for scale in (0.005, 0.02, 0.05, 0.11):
        operands = [Operand(rng.integers(-128, 128, (8000, 7)).astype(np.int8), Quant.per_tensor(scale, 0))]
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        compare(Softmax(), schema.BuiltinOperator.SOFTMAX, options, operands, OUTPUT)


def test_integer_form_is_near_the_float_form() -> None:
    rng = np.random.default_rng(16)
    for _ in range(50):
        operand = Operand(random_logits(rng), Quant.per_tensor(float(rng.uniform(0.01, 0.3)), 5))
        assert operand.quant is not None
        real = Softmax(1.5).evaluate([torch.from_numpy(operand.quant.to_real(operand.array))])[0].numpy()
        got = OUTPUT.to_real(ours(Softmax(1.5), [operand], OUTPUT))
        assert np.abs(got - np.clip(real, 0, 255 / 256)).max() <= 0.51 / 256


def test_facts() -> None:
    ins = [Value("x", (None, 10), quant=Quant.per_tensor(0.1))]
    assert Softmax().infer(ins) == ((None, 10),)
    assert Softmax().output_quant(ins) == (1 / 256, -128)
    assert Softmax().bounds([(-3.0, 5.0)]) == (0.0, 1.0)
    assert Softmax().in_place(ins, ins) == (0,)
    assert Softmax().couplings(ins, ins) is None


def test_an_input_scale_that_is_too_small_is_an_error() -> None:
    with pytest.raises(ModelError, match="too small for the integer softmax"):
        Softmax().parameters([Value("x", (None, 10), quant=Quant.per_tensor(1e-9))])
