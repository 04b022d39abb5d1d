"""MatMul: shapes, and the bytes of TensorFlow Lite Micro."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import ModelError
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Value
from edgewright.ops import MatMul
from tests.ops.tflm import Operand, compare

PAIRS = 40


def test_the_sums_are_tflm_s(needs_tflite_micro: None) -> None:
    rng = np.random.default_rng(0)
    for _ in range(PAIRS):
        transposed = bool(rng.integers(2))
        leading = tuple(int(size) for size in rng.integers(1, 4, int(rng.integers(0, 3))))
        rows, depth, columns = (int(size) for size in rng.integers(1, 12, 3))
        shapes = [(*leading, rows, depth), (*leading, columns, depth) if transposed else (*leading, depth, columns)]
        quants = [Quant.per_tensor(float(rng.uniform(0.01, 0.1)), int(rng.integers(-128, 128))) for _ in shapes]
        operands = [Operand(rng.integers(-128, 128, shape).astype(np.int8), quant) for shape, quant in zip(shapes, quants, strict=True)]
        options = schema.BatchMatMulOptionsT()
        options.adjX, options.adjY = False, transposed
        output = Quant.per_tensor(float(rng.uniform(0.02, 1.0)), int(rng.integers(-128, 128)))
        compare(MatMul(transposed), schema.BuiltinOperator.BATCH_MATMUL, options, operands, output)


def test_shapes_and_costs() -> None:
    a, b = Value("a", (None, 2, 7, 5)), Value("b", (None, 2, 7, 5))
    assert MatMul(True).infer([a, b]) == ((None, 2, 7, 7),)
    assert MatMul(True).macs([a, b], [Value("y", (None, 2, 7, 7))]) == 2 * 7 * 7 * 5
    assert MatMul().infer([Value("a", (1, 2, 3, 4)), Value("b", (None, 2, 4, 6))]) == ((None, 2, 3, 6),)
    for wrong in ((None, 2, 7, 6), (None, 3, 7, 5), (7, 5)):
        with pytest.raises(ModelError, match="MatMul"):
            MatMul(True).infer([a, Value("b", wrong)])


def test_float_products_carry_gradients() -> None:
    a, b = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 5, 4, requires_grad=True)
    (y,) = MatMul(True).evaluate([a, b])
    torch.testing.assert_close(y, a @ b.transpose(1, 2))
    y.sum().backward()
    assert a.grad is not None and b.grad is not None
