"""Hard swish (MobileNetV3, arXiv:1905.02244)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Value
from edgewright.ir.operator import Operator
from edgewright.ops.pointwise import Pointwise
from edgewright.ops.requant import quantize_multiplier, rounding_divide_by_pot, tensor_quant

INT16_MIN, INT16_MAX = -(1 << 15), (1 << 15) - 1


@dataclass(frozen=True)
class HardSwishFactors:
    """16-bit factors, value = multiplier * 2**(exponent - 15): to the output's scale, and to the scale at which 3 is 32768."""

    output_multiplier: int
    output_exponent: int
    gate_multiplier: int
    gate_exponent: int


@dataclass(frozen=True)
class HardSwish(Pointwise, Operator):
    """Input: any shape. Output: x * min(max(x + 3, 0), 6) / 6."""

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (inputs[0] * (inputs[0] + 3.0).clamp(0.0, 6.0) / 6.0,)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        """TFLM's int8 reference kernel, in 16-bit fixed point."""
        if ins[0].dtype is not DType.INT8 or outs[0].dtype is not DType.INT8:
            raise UnsupportedError(f"{self.kind} has no integer form from {ins[0].dtype.value} to {outs[0].dtype.value}", hint="use int8 activations here")
        factors = self.factors(ins, outs)
        wide = (inputs[0].to(torch.int64) - tensor_quant(ins[0])[1]) << 7
        scaled = _high_mul(wide, factors.output_multiplier)
        gate = wide
        if factors.gate_exponent > 0:
            gate = _shift_left(gate, factors.gate_exponent - 1)
        gate = _high_mul(gate, factors.gate_multiplier)
        if factors.gate_exponent > 0:
            gate = _shift_left(gate, 1)
        elif factors.gate_exponent < 0:
            gate = _shift_right(gate, -factors.gate_exponent)
        gate = (gate + (1 << 15)) >> 1
        product = torch.div(gate * scaled, 1 << 15, rounding_mode="trunc")
        result = _shift_right(product, -factors.output_exponent) + tensor_quant(outs[0])[1]
        return (result.clamp_(outs[0].dtype.minimum, outs[0].dtype.maximum).to(torch.int32),)

    def factors(self, ins: Sequence[Value], outs: Sequence[Value]) -> HardSwishFactors:
        """The factors as TFLM's Prepare derives them, in float32."""
        wide_scale = np.float32(1 / 128) * np.float32(tensor_quant(ins[0])[0])
        out_scale = np.float32(tensor_quant(outs[0])[0])
        output, output_exponent = quantize_multiplier(float(wide_scale / out_scale))
        gate, gate_exponent = quantize_multiplier(float(wide_scale / (np.float32(3) / np.float32(32768))))
        if output_exponent > 0:
            raise ModelError(f"the output scale {out_scale:g} of {outs[0].name!r} is too small for the input scale {tensor_quant(ins[0])[0]:g}",
                             hint="calibrate with data that exercise this output; it is always near zero")
        return HardSwishFactors(_to_int16(output), output_exponent, _to_int16(gate), gate_exponent)


def _to_int16(multiplier: int) -> int:
    return INT16_MAX if multiplier >= (1 << 31) - 1 - (1 << 15) else (multiplier + (1 << 15)) >> 16


def _high_mul(a: Tensor, b: int) -> Tensor:
    """round(a * b / 2**15), ties away from zero for positive and towards zero for negative halves."""
    product = a * b
    return torch.div(product + torch.where(product >= 0, 1 << 14, 1 - (1 << 14)), 1 << 15, rounding_mode="trunc")


def _shift_left(x: Tensor, bits: int) -> Tensor:
    return (x << bits).clamp(INT16_MIN, INT16_MAX)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """x / 2**bits to nearest; beyond 15 bits the reference's 16-bit mask overflows, and what it then gives is kept."""
    return rounding_divide_by_pot(x, bits) if bits <= 15 else torch.where(x >= 0, 1, -1)
