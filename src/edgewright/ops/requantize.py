"""From one integer grid to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ir.operator import Operator
from edgewright.ops.pointwise import Pointwise
from edgewright.ops.requant import Multiplier, quantize_multipliers, requantize, tensor_quant


@dataclass(frozen=True)
class Requantize(Pointwise, Operator):
    """Input: integers. Output: the nearest integers on the output's grid. In a float graph it changes nothing."""

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (inputs[0],)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        out = outs[0]
        return (requantize(inputs[0] - tensor_quant(ins[0])[1], self.multipliers(ins, outs), tensor_quant(out)[1], out.dtype.minimum, out.dtype.maximum),)

    def multipliers(self, ins: Sequence[Value], outs: Sequence[Value]) -> Multiplier:
        """The fixed-point factor input scale / output scale, taken in double as TFLM does."""
        return quantize_multipliers([tensor_quant(ins[0])[0] / tensor_quant(outs[0])[0]])
