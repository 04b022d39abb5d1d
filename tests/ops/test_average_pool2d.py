from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Window
from edgewright.ops.average_pool2d import AveragePool2D
from tests.ops.pools import pool_options, random_pool
from tests.ops.tflm import Operand, compare, ours, random_int8, random_quant


def test_bytes_are_those_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(13)
    for _ in range(150):
        settings, size, same = random_pool(rng)
        op = AveragePool2D(*settings)
        quant = random_quant(rng)
        operands = [Operand(random_int8(rng, (2, *size, int(rng.integers(1, 6)))), quant)]
        compare(op, schema.BuiltinOperator.AVERAGE_POOL_2D, pool_options(op, same=same), operands, quant)


def test_halves_round_away_from_zero() -> None:
    x = np.array([[1, 2], [-1, -2], [0, -1], [0, 1], [127, 126], [-128, -127]], np.int8).reshape(6, 1, 2, 1)
    out = ours(AveragePool2D((1, 2), (1, 1)), [Operand(x, Quant.per_tensor(1.0))], Quant.per_tensor(1.0))
    assert out.flatten().tolist() == [2, -2, -1, 1, 127, -128]


def test_padding_is_not_counted() -> None:
    x = torch.ones(1, 3, 3, 2)
    torch.testing.assert_close(AveragePool2D((3, 3), (2, 2), ((1, 1), (1, 1))).evaluate([x])[0], torch.ones(1, 2, 2, 2))
    y = torch.randn(2, 4, 4, 3)
    theirs = torch.nn.functional.avg_pool2d(y.permute(0, 3, 1, 2), 3, 2, 1, count_include_pad=False).permute(0, 2, 3, 1)
    torch.testing.assert_close(AveragePool2D((3, 3), (2, 2), ((1, 1), (1, 1))).evaluate([y])[0], theirs)


def test_facts() -> None:
    op = AveragePool2D((3, 2), (2, 1))
    assert op.infer([Value("x", (None, 8, 8, 3))]) == ((None, 3, 7, 3),)
    assert op.window([Value("x", (None, 8, 8, 3))]) == Window((3, 2), (2, 1))
    assert op.same_quant
    assert op.bounds([(-1.0, 2.0)]) == (-1.0, 2.0)


def test_windows_without_input_are_an_error() -> None:
    with pytest.raises(ModelError, match="without input"):
        AveragePool2D((2, 2), (1, 1), ((0, 0), (0, 2))).infer([Value("x", (1, 4, 4, 1))])
