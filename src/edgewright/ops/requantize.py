"""From one integer grid to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ops.pointwise import Pointwise
from edgewright.ops.requant import Multiplier, quantize_multipliers, requantize, tensor_quant


@dataclass(frozen=True)
class Requantize(Pointwise):
    """Input: integers. Output: the nearest integers on the output's grid. In a float graph it changes nothing."""

    takes_int16: ClassVar[bool] = True

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (inputs[0],)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return ins[0]

    def map_integer(self, x: Tensor, input: Value, output: Value) -> Tensor:
        low, high = output.dtype.minimum, output.dtype.maximum
        return requantize(x - tensor_quant(input)[1], self.multipliers((input,), (output,)), tensor_quant(output)[1], low, high)

    def multipliers(self, ins: Sequence[Value], outs: Sequence[Value]) -> Multiplier:
        """The fixed-point factor input scale / output scale, taken in double as TFLM does."""
        return quantize_multipliers([tensor_quant(ins[0])[0] / tensor_quant(outs[0])[0]])
