"""Quantize, Dequantize and Requantize: the edges of an integer graph, and the way between two grids."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ops import Dequantize, Quantize, Requantize
from tests.tflite_builder import TensorSpec, build_operator, run_tflm, schema

B = schema.BuiltinOperator


def random_quant(rng: np.random.Generator, dtype: DType) -> Quant:
    return Quant.per_tensor(np.float32(10 ** rng.uniform(-3, 0)), int(rng.integers(-128, 128)) if dtype is DType.INT8 else 0, dtype)


@pytest.mark.parametrize("dtype", [DType.INT8, DType.INT16])
def test_quantize_is_tflm_s_ties_included(dtype, needs_tflite_micro):
    rng = np.random.default_rng(0)
    for _ in range(20):
        quant = random_quant(rng, dtype)
        scale = np.float32(quant.scale[0])
        ties = (np.arange(-40, 40, dtype=np.float32) + np.float32(0.5)) * scale
        x = np.concatenate([rng.normal(0, 100 * scale, 200), ties, [1e6 * scale, -1e6 * scale]]).astype(np.float32).reshape(1, -1)
        model = build_operator(
            B.QUANTIZE, schema.QuantizeOptionsT(), [TensorSpec(x.shape, DType.FLOAT32)], [TensorSpec(x.shape, dtype, quant)]
        )
        out = Value("y", (None, x.shape[1]), dtype, quant)
        mine = Quantize().evaluate_integer([torch.from_numpy(x)], (Value("x", out.shape),), (out,))[0]
        np.testing.assert_array_equal(mine.numpy(), run_tflm(model, [x])[0])


@pytest.mark.parametrize("dtype", [DType.INT8, DType.INT16])
def test_dequantize_is_tflm_s(dtype, needs_tflite_micro):
    rng = np.random.default_rng(1)
    for _ in range(20):
        quant = random_quant(rng, dtype)
        x = rng.integers(dtype.minimum, dtype.maximum + 1, (1, 300)).astype(dtype.numpy)
        model = build_operator(
            B.DEQUANTIZE, schema.DequantizeOptionsT(), [TensorSpec(x.shape, dtype, quant)], [TensorSpec(x.shape, DType.FLOAT32)]
        )
        source = Value("x", (None, 300), dtype, quant)
        mine = Dequantize().evaluate_integer([torch.from_numpy(x.astype(np.int32))], (source,), (Value("y", (None, 300)),))[0]
        assert mine.dtype is torch.float32
        np.testing.assert_array_equal(mine.numpy(), run_tflm(model, [x])[0])


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (DType.INT8, DType.INT16),
        (DType.INT16, DType.INT8),
        (DType.INT8, DType.INT32),
        (DType.INT32, DType.INT8),
        (DType.INT16, DType.INT32),
    ],
)
def test_requantize_between_widths_is_tflm_s(source, target, needs_tflite_micro):
    rng = np.random.default_rng(2)
    for _ in range(20):
        first = random_quant(rng, source)
        second = Quant.per_tensor(np.float32(first.scale[0] * 10 ** rng.uniform(-1, 1)), random_quant(rng, target).zero_point[0], target)
        limit = min(source.maximum, 10**6)
        x = rng.integers(-limit - (limit < 10**6), limit + 1, (1, 300)).astype(source.numpy)
        model = build_operator(
            B.QUANTIZE, schema.QuantizeOptionsT(), [TensorSpec(x.shape, source, first)], [TensorSpec(x.shape, target, second)]
        )
        ins, outs = (Value("x", (None, 300), source, first),), (Value("y", (None, 300), target, second),)
        mine = Requantize().evaluate_integer([torch.from_numpy(x.astype(np.int32))], ins, outs)[0]
        np.testing.assert_array_equal(mine.numpy(), run_tflm(model, [x])[0])


def test_nothing_happens_to_floats():
    x = torch.randn(2, 3)
    for op in (Quantize(), Dequantize(), Requantize()):
        assert op.evaluate([x])[0] is x
