"""Hard swish (MobileNetV3, arXiv:1905.02244)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewright.errors import ModelError
from edgewright.ir.graph import Value
from edgewright.ops.pointwise import Pointwise, expect_int8
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
class HardSwish(Pointwise):
    """Input: any shape. Output: x * min(max(x + 3, 0), 6) / 6."""

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (inputs[0] * (inputs[0] + 3.0).clamp(0.0, 6.0) / 6.0,)

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        """TFLM's int8 reference kernel, in 16-bit fixed point."""
        expect_int8(self, input, output)
        factors = self.factors((input,), (output,))
        wide = (x.to(torch.int64) - tensor_quant(input)[1]) << 7
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
        result = _shift_right(product, -factors.output_exponent) + tensor_quant(output)[1]
        return result.clamp_(output.dtype.minimum, output.dtype.maximum).to(torch.int32)

    def factors(self, ins: Sequence[Value], outs: Sequence[Value]) -> HardSwishFactors:
        """The factors as TFLM's Prepare derives them, in double."""
        wide_scale, out_scale = tensor_quant(ins[0])[0] / 128, tensor_quant(outs[0])[0]
        output, output_exponent = quantize_multiplier(wide_scale / out_scale)
        gate, gate_exponent = quantize_multiplier(wide_scale / (3 / 32768))
        if output_exponent > 0:
            raise ModelError(f"the output scale {out_scale:g} of {outs[0].name!r} is too small for its input",
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
