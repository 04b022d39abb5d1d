"""Edgewright's integer evaluation of one operator beside what TensorFlow Lite Micro's reference kernels make of it in a .tflite file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Operator
from tests.tflite_builder import TensorSpec, build_operator, constant, run_tflm

ACTIVATIONS = {
    "none": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
    "relu_n1_to_1": schema.ActivationFunctionType.RELU_N1_TO_1,
}
Array = NDArray[Any]


def random_activation(rng: np.random.Generator) -> str:
    return str(rng.choice(list(ACTIVATIONS), p=[0.6, 0.2, 0.1, 0.1]))


class Operand:
    """One input of an operator: its numbers, how they are quantized, and whether the file holds them."""

    def __init__(self, array: Array, quant: Quant | None, *, fixed: bool = False) -> None:
        self.array, self.quant, self.fixed = array, quant, fixed

    def value(self, name: str) -> Value:
        return Value(name, self.array.shape, DType(self.array.dtype.name), self.quant)

    def spec(self) -> TensorSpec:
        return TensorSpec(self.array.shape, DType(self.array.dtype.name), self.quant, self.array if self.fixed else None)


def ours(op: Operator, operands: Sequence[Operand], quant: Quant) -> Array:
    """The integer evaluation; every number of it must fit the output's type."""
    ins = [operand.value(f"in{index}") for index, operand in enumerate(operands)]
    out = Value("out", op.infer(ins)[0], quant.dtype, quant)
    (result,) = op.evaluate_integer([torch.from_numpy(operand.array.astype(np.int32)) for operand in operands], ins, [out])
    assert result.dtype == torch.int32
    assert tuple(result.shape) == out.shape
    narrow = result.numpy().astype(quant.dtype.numpy)
    np.testing.assert_array_equal(narrow, result.numpy())
    return narrow


def theirs(code: int, options: Any, specs: Sequence[TensorSpec], operands: Sequence[Operand], shape: Sequence[int], quant: Quant) -> Array:
    """What TFLM makes of a file of one operator."""
    model = build_operator(code, options, specs, [TensorSpec(tuple(shape), quant.dtype, quant)])
    return run_tflm(model, [operand.array for operand in operands if not operand.fixed])[0]


def compare(op: Operator, code: int, options: Any, operands: Sequence[Operand], quant: Quant, *,
            extra: Sequence[Array] = (), specs: Sequence[TensorSpec] | None = None) -> Array:
    """Assert that both give the same bytes; returns them. ``extra``: int32 constants that only the file has (axes, shapes)."""
    expected = ours(op, operands, quant)
    inputs = [operand.spec() for operand in operands] + [constant(array) for array in extra] if specs is None else specs
    np.testing.assert_array_equal(expected, theirs(code, options, inputs, operands, expected.shape, quant))
    return expected


def random_quant(rng: np.random.Generator, *, low: float = 1e-3, high: float = 0.2) -> Quant:
    """A per-tensor int8 grid: any scale between ``low`` and ``high``, any zero point, the ends more often than by chance."""
    zero_point = rng.choice([-128, 127, int(rng.integers(-128, 128))], p=[0.2, 0.1, 0.7])
    return Quant.per_tensor(float(np.exp(rng.uniform(np.log(low), np.log(high)))), int(zero_point))


def random_int8(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    """Integers of the whole range, or nothing but its ends."""
    if rng.random() < 0.2:
        return rng.choice(np.array([-128, 127], np.int8), size=tuple(shape))
    return rng.integers(-128, 128, tuple(shape)).astype(np.int8)
