from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ops.convolution import exact_sums


def operands(weight: np.ndarray, bias: list[int] | None, x: np.ndarray, zero_point: int) -> tuple[list[torch.Tensor], list[Value]]:
    tensors = [torch.from_numpy(x).to(torch.int32), torch.from_numpy(weight).to(torch.int32)]
    values = [Value("x", x.shape, DType.INT8, Quant.per_tensor(1.0, zero_point)), Value("w", weight.shape, DType.INT8)]
    return tensors + ([] if bias is None else [torch.tensor(bias, dtype=torch.int32)]), values


def exact(tensors: list[torch.Tensor], zero_point: int) -> np.ndarray:
    """The sums as 32-bit registers hold them."""
    x, weight = (tensor.numpy().astype(np.int64) for tensor in tensors[:2])
    sums = (x - zero_point) @ weight.T + (tensors[2].numpy().astype(np.int64) if len(tensors) > 2 else 0)
    return sums.astype(np.int32)


@pytest.mark.parametrize(
    ("inputs", "weight", "bias", "expected"),
    [
        (300, 127, None, torch.float32),
        (300, 127, 1 << 20, torch.float32),
        (300, 127, (1 << 24) - 300 * 127 * 255, torch.float64),
        (600, 127, None, torch.float64),
        (600, 127, 1 << 20, torch.float64),
        (300, 127, (1 << 31) - 300 * 127 * 255 - 1, torch.float64),
        (300, 127, (1 << 31) - 300 * 127 * 255, torch.int64),
        (70_000, 127, (1 << 31) - 1, torch.int64),
        (70_000, -128, -(1 << 31), torch.int64),
    ],
)
def test_the_cheapest_type_that_has_every_sum(inputs: int, weight: int, bias: int | None, expected: torch.dtype) -> None:
    """The largest sums there are, one below them, and bounds that meet the type's end to the last bit."""
    weights = np.full((2, inputs), weight, np.int64)
    weights[1, 0] -= np.sign(weight)
    x = np.full((1, inputs), 127, np.int64)
    tensors, values = operands(weights, None if bias is None else [bias, bias - 1 if bias > 0 else bias + 1], x, -128)
    sums = exact_sums(F.linear, tensors, values)
    assert sums.dtype == expected
    np.testing.assert_array_equal(sums.numpy().astype(np.int64), exact(tensors, -128))


def test_random_sums_are_exact() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        inputs, zero_point = int(rng.integers(1, 3000)), int(rng.integers(-128, 128))
        tensors, values = operands(rng.integers(-128, 128, (5, inputs)), rng.integers(-(1 << 31), 1 << 31, 5).tolist(),
                                   rng.integers(-128, 128, (4, inputs)), zero_point)
        np.testing.assert_array_equal(exact_sums(F.linear, tensors, values).numpy().astype(np.int64), exact(tensors, zero_point))


def test_float32_is_not_trusted_where_it_is_computed_with_fewer_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, values = operands(np.ones((1, 4), np.int64), None, np.ones((1, 4), np.int64), 0)
    assert exact_sums(F.linear, tensors, values).dtype == torch.float32
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    assert exact_sums(F.linear, tensors, values).dtype == torch.float64
    monkeypatch.delenv("ONEDNN_DEFAULT_FPMATH_MODE")
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert exact_sums(F.linear, tensors, values).dtype == torch.float64
    finally:
        torch.set_float32_matmul_precision(before)
