"""What operators share that map every element by one scalar function, and their int8 form: a table of 256 entries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window
from edgewright.ops.requant import multiply_by_quantized_multiplier, quantize_multipliers, rounding_divide_by_pot, tensor_quant

INT8_VALUES = 256


class Pointwise(Operator, register=False):
    """Base of operators with one input and one output of the same shape; they give ``map_integer`` in place of ``evaluate_integer``."""

    pointwise: ClassVar[bool] = True

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        """Exact integers on the grid of ``output`` for integers ``x`` on the grid of ``input``; torch.int32."""
        raise UnsupportedError(f"{self.kind} has no integer form", hint="keep it in float, or replace it by an operator that has one")

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        return (inputs[0].shape,)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        x = inputs[0]
        if x.numel() <= INT8_VALUES or ins[0].dtype is not DType.INT8:
            return (self.map_integer(x, ins[0], outs[0]),)
        table = self.map_integer(torch.arange(-128, 128, dtype=torch.int32), ins[0], outs[0])
        return (table.index_select(0, (x + 128).reshape(-1)).reshape(x.shape),)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        return same_axes(ins[0])

    def window(self, ins: Sequence[Value]) -> Window | None:
        return Window()

    def in_place(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[int, ...]:
        return (0,) if ins[0].dtype.bits == outs[0].dtype.bits else ()


def same_axes(value: Value, index: int = 0) -> tuple[Coupling, ...]:
    """Every axis of input ``index`` but the batch goes with the same axis of output 0."""
    return tuple(Coupling(Axis("in", index, axis), Axis("out", 0, axis)) for axis in range(1, value.rank))


def lookup_table(op: Operator, input: Value, output: Value) -> NDArray[np.int8]:
    """The int8 form of pointwise ``op`` as 256 numbers: entry i is the output for the input integer i - 128."""
    if not op.pointwise:
        raise UnsupportedError(f"{op.kind} is not a table of {INT8_VALUES} entries")
    expect_int8(op, input, output)
    results = op.evaluate_integer([torch.arange(-128, 128, dtype=torch.int32)], (input,), (output,))
    return results[0].numpy().astype(np.int8)


def expect_int8(op: Operator, input: Value, output: Value) -> None:
    """UnsupportedError unless ``op`` goes from int8 to int8."""
    if input.dtype is not DType.INT8 or output.dtype is not DType.INT8:
        raise UnsupportedError(f"{op.kind} has no integer form from {input.dtype.value} to {output.dtype.value}",
                               hint="use int8 activations here")


def round_function(
    op: Operator, x: Tensor, input: Value, output: Value, function: Callable[[Tensor], Tensor] | None = None, *, by_reciprocal: bool = False
) -> Tensor:
    """The integers of ``output`` nearest to float ``op`` (or ``function``) of the reals that int8 ``x`` stands for; ties away from zero.

    This defines operators that TFLM has no integer kernel for, as LiteRT makes its tables: the real is rounded to float32, so is the
    function's value, and so is its ratio to the output's scale (``by_reciprocal``: its product with the reciprocal, rounded too); the
    function itself is taken in float64.
    """
    expect_int8(op, input, output)
    (scale, zero_point), (out_scale, out_zero_point) = tensor_quant(input), tensor_quant(output)
    reals = (x - zero_point).to(torch.float32) * torch.tensor(scale, dtype=torch.float32)
    exact = reals.to(torch.float64)
    results = (op.evaluate([exact])[0] if function is None else function(exact)).to(torch.float32)
    wide = torch.tensor(out_scale, dtype=torch.float32)
    steps = (results * wide.reciprocal() if by_reciprocal else results / wide).to(torch.float64)
    nearest = torch.copysign(torch.floor(steps.abs() + 0.5), steps)
    return (nearest + out_zero_point).clamp_(output.dtype.minimum, output.dtype.maximum).to(torch.int32)


def evaluate_in_q4(op: Operator, function: Callable[[Tensor], Tensor], x: Tensor, input: Value, output: Value) -> Tensor:
    """``function`` (Q4.27 to Q0.31) of int8 ``x`` on the grid that ``op`` fixes, as TFLM's kernels of Logistic and Tanh compute it."""
    expect_int8(op, input, output)
    fixed, out = op.output_quant((input,)), tensor_quant(output)
    if fixed != out:
        raise UnsupportedError(f"output {output.name!r} of {op.kind} has (scale, zero point) {out}, its integer form needs {fixed}",
                               hint="quantize the network again; every TensorFlow Lite converter fixes these numbers")
    scale, zero_point = tensor_quant(input)
    factor = quantize_multipliers([scale * (1 << 27)])
    radius = math.floor(15 * (1 << 27) / 2.0 ** math.frexp(scale * (1 << 27))[1])
    centred = x.to(torch.int64) - zero_point
    within = centred.clamp(min(1 - radius, 0), max(radius - 1, 0))
    fraction_bits = 31 + int(math.log2(out[0]))
    steps = rounding_divide_by_pot(function(multiply_by_quantized_multiplier(within, factor)), fraction_bits) + out[1]
    low, high = output.dtype.minimum, output.dtype.maximum
    return torch.where(centred <= -radius, low, torch.where(centred >= radius, high, steps.clamp(low, high))).to(torch.int32)
