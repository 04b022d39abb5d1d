from __future__ import annotations

import math

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Value
from edgewright.ops.log_softmax import LogSoftmax
from tests.ops.test_softmax import random_logits, random_scale
from tests.ops.tflm import Operand, compare, ours

OUTPUT = Quant.per_tensor(16 / 256, 127)


def test_bytes_are_those_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(17)
    for _ in range(250):
        operands = [Operand(random_logits(rng), Quant.per_tensor(random_scale(rng), int(rng.integers(-128, 128))))]
        compare(LogSoftmax(), schema.BuiltinOperator.LOG_SOFTMAX, schema.LogSoftmaxOptionsT(), operands, OUTPUT)


def test_many_rows(needs_tflite_micro: None) -> None:
    """So many outputs that constants which are off in their last bits show."""
    rng = np.random.default_rng(19)
    for scale in (0.02, 0.05, 0.11, 0.2):
        operands = [Operand(rng.integers(-128, 128, (8000, 12)).astype(np.int8), Quant.per_tensor(scale, 0))]
        compare(LogSoftmax(), schema.BuiltinOperator.LOG_SOFTMAX, schema.LogSoftmaxOptionsT(), operands, OUTPUT)


def test_integer_form_is_near_the_float_form() -> None:
    rng = np.random.default_rng(18)
    for _ in range(50):
        operand = Operand(random_logits(rng), Quant.per_tensor(float(rng.uniform(0.01, 0.1)), 5))
        assert operand.quant is not None
        real = LogSoftmax().evaluate([torch.from_numpy(operand.quant.to_real(operand.array))])[0].numpy()
        got = OUTPUT.to_real(ours(LogSoftmax(), [operand], OUTPUT))
        assert np.abs(got - np.clip(real, -255 / 16, 0)).max() <= 0.51 / 16


def test_facts() -> None:
    ins = [Value("x", (None, 10), quant=Quant.per_tensor(0.1))]
    assert LogSoftmax().infer(ins) == ((None, 10),)
    assert LogSoftmax().output_quant(ins) == (1 / 16, 127)
    assert LogSoftmax().bounds([(-3.0, 5.0)]) == (-math.inf, 0.0)
    assert LogSoftmax().in_place(ins, ins) == (0,)
    assert LogSoftmax().couplings(ins, ins) is None
    torch.testing.assert_close(LogSoftmax().evaluate([torch.zeros(1, 4)])[0], torch.full((1, 4), -math.log(4)))
