"""Gaussian error linear unit (arXiv:1606.08415)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from edgewright.ir.graph import Value
from edgewright.ir.operator import Operator
from edgewright.ops.pointwise import Pointwise, round_function


@dataclass(frozen=True)
class GELU(Pointwise, Operator):
    """Input: any shape. Output: x times the normal distribution's cumulative function at x; by tanh where ``approximate``.

    TFLM has no such kernel; at int8 it is the table of the nearest integers of the float function.
    """

    approximate: bool = False

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (F.gelu(inputs[0], approximate="tanh" if self.approximate else "none"),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        return (round_function(lambda x: self.evaluate([x])[0], inputs[0], ins[0], outs[0]),)
