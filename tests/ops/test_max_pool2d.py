from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis, Window
from edgewright.ops.max_pool2d import MaxPool2D
from tests.ops.pools import pool_options, random_pool
from tests.ops.tflm import Operand, compare, ours, random_int8, random_quant


def test_bytes_are_those_of_tflm(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(12)
    for _ in range(150):
        settings, size, same = random_pool(rng)
        op = MaxPool2D(*settings)
        quant = random_quant(rng)
        operands = [Operand(random_int8(rng, (2, *size, int(rng.integers(1, 6)))), quant)]
        compare(op, schema.BuiltinOperator.MAX_POOL_2D, pool_options(op, same=same), operands, quant)


def test_bounds_of_activations_are_rounded_as_in_tflm(needs_tflite_micro: None) -> None:
    """Scales that put the bound half way between two integers, in float32 but not in double."""
    x = np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 256, 1)
    for half in range(1, 255, 2):
        for activation, bound in (("relu6", 6.0), ("relu_n1_to_1", 1.0)):
            op = MaxPool2D((1, 1), (1, 1), activation=activation)
            quant = Quant.per_tensor(bound / (half / 2), 0)
            compare(op, schema.BuiltinOperator.MAX_POOL_2D, pool_options(op, same=False), [Operand(x, quant)], quant)


def test_padding_never_wins() -> None:
    x = -torch.rand(2, 3, 5, 4) - 1
    out = MaxPool2D((3, 3), (2, 2), ((1, 1), (2, 0))).evaluate([x])[0]
    assert out.shape == (2, 2, 3, 4) and out.max() < 0
    torch.testing.assert_close(out[0, 0, 0], x[0, :2, :1].amax((0, 1)))


def test_facts() -> None:
    op = MaxPool2D((3, 2), (2, 1), ((1, 0), (0, 0)))
    ins = [Value("x", (None, 8, 8, 3))]
    outs = [Value("y", op.infer(ins)[0])]
    assert outs[0].shape == (None, 4, 7, 3)
    assert op.window(ins) == Window((3, 2), (2, 1), (1, 1), ((1, 0), (0, 0)))
    assert op.same_quant and op.macs(ins, outs) == 0
    couplings = op.couplings(ins, outs)
    assert couplings is not None and [(c.first, c.second) for c in couplings] == [(Axis("in", 0, 3), Axis("out", 0, 3))]


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(ModelError, match="without input"):
        MaxPool2D((2, 2), (1, 1), ((2, 0), (0, 0))).infer([Value("x", (1, 4, 4, 1))])
    with pytest.raises(ModelError, match="does not fit into"):
        MaxPool2D((5, 2)).infer([Value("x", (1, 4, 4, 1))])
    with pytest.raises(ModelError, match="must share one scale"):
        ours(MaxPool2D(), [Operand(np.zeros((1, 2, 2, 1), np.int8), Quant.per_tensor(1.0))], Quant.per_tensor(2.0))
