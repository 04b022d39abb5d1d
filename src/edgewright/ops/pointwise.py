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


class Pointwise:
    """Facts of an operator with one input and one output of the same shape; stands before Operator among the bases."""

    pointwise: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        return (inputs[0].shape,)

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
    if not op.pointwise or input.dtype is not DType.INT8 or output.dtype is not DType.INT8:
        raise UnsupportedError(f"{op.kind} from {input.dtype.value} to {output.dtype.value} is not a table of 256 entries")
    results = op.evaluate_integer([torch.arange(-128, 128, dtype=torch.int32)], (input,), (output,))
    return results[0].numpy().astype(np.int8)


def round_function(function: Callable[[Tensor], Tensor], x: Tensor, input: Value, output: Value) -> Tensor:
    """The integers of ``output`` nearest to ``function`` (of float64, to float64) of the reals that int8 ``x`` stands for; ties away from zero.

    This defines operators that TFLM has no integer kernel for. The real is rounded to float32 before and after, as LiteRT's tables are made.
    """
    if input.dtype is not DType.INT8 or output.dtype is not DType.INT8:
        raise UnsupportedError(f"no integer form from {input.dtype.value} to {output.dtype.value} for this activation", hint="use int8 activations here")
    scale, zero_point = tensor_quant(input)
    out_scale, out_zero_point = tensor_quant(output)
    entries = []
    for integer in range(input.dtype.minimum, input.dtype.maximum + 1):
        real = float(np.float32(scale) * np.float32(integer - zero_point))
        steps = float(np.float32(function(torch.tensor(real, dtype=torch.float64)).item()) / np.float32(out_scale))
        entries.append(math.floor(abs(steps) + 0.5) * (1 if steps >= 0 else -1) + out_zero_point)
    table = torch.tensor(entries).clamp_(output.dtype.minimum, output.dtype.maximum).to(torch.int32)
    return table[x.to(torch.int64) - input.dtype.minimum]


def evaluate_in_q4(op: Operator, function: Callable[[Tensor], Tensor], x: Tensor, input: Value, output: Value) -> Tensor:
    """``function`` (Q4.27 to Q0.31) of int8 ``x`` on the grid that ``op`` fixes, as TFLM's kernels of Logistic and Tanh compute it."""
    fixed = op.output_quant((input,))
    (scale, zero_point), out = tensor_quant(input), tensor_quant(output)
    if input.dtype is not DType.INT8 or output.dtype is not DType.INT8:
        raise UnsupportedError(f"{op.kind} has no integer form from {input.dtype.value} to {output.dtype.value}", hint="use int8 activations here")
    if fixed != out:
        raise UnsupportedError(f"the output {output.name!r} of {op.kind} has scale {out[0]:g} and zero point {out[1]}, the integer form needs {fixed}",
                               hint="quantize the network again; every TensorFlow Lite converter fixes these numbers")
    factor = quantize_multipliers([scale * (1 << 27)])
    radius = math.floor(15 * (1 << 27) / 2.0 ** factor.shift[0])
    centred = x.to(torch.int64) - zero_point
    within = centred.clamp(1 - radius, radius - 1) if radius > 0 else torch.zeros_like(centred)
    bits = 24 if out[0] == 1 / 128 else 23
    steps = rounding_divide_by_pot(function(multiply_by_quantized_multiplier(within, factor)), bits) + out[1]
    low, high = output.dtype.minimum, output.dtype.maximum
    steps = torch.where(centred <= -radius, low, torch.where(centred >= radius, high, steps.clamp(low, high)))
    return steps.to(torch.int32)
