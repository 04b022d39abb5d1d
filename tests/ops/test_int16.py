"""Arithmetic on int16 values beside TFLM's, where the integer form is the same; where it is not, a clear refusal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ops.add import Add
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.dense import Dense
from edgewright.ops.log_softmax import LogSoftmax
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.mean import Mean
from edgewright.ops.mul import Mul
from edgewright.ops.softmax import Softmax
from edgewright.ops.sub import Sub
from tests.ops.pools import pool_options, random_pool
from tests.ops.test_add import add_options
from tests.ops.test_mean import reducer_options
from tests.ops.test_mul import mul_options
from tests.ops.test_sub import sub_options
from tests.ops.tflm import Operand, compare, random_activation

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


def test_what_has_no_form_for_int16_says_so() -> None:
    wide = Value("x", (1, 4), DType.INT16, symmetric(1e-3))
    weight = Value("w", (2, 4), DType.INT8, Quant.per_tensor(0.1))
    out = Value("y", (1, 2), DType.INT16, symmetric(1e-3))
    x = torch.zeros(1, 4, dtype=torch.int32)
    for op in (Softmax(), LogSoftmax()):
        with pytest.raises(UnsupportedError, match="of int16 'x' has no integer form"):
            op.evaluate_integer([x], [wide], [wide])
    with pytest.raises(UnsupportedError, match="int16 'x' have no integer form"):
        Dense().evaluate_integer([x, torch.zeros(2, 4, dtype=torch.int32)], [wide, weight], [out])
