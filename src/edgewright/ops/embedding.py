"""Rows of a table, chosen by whole numbers: what a language model makes of its tokens first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, expect


@dataclass(frozen=True)
class Embedding(Operator):
    """Inputs: table (V, C), a constant; indices (N, …), whole numbers of 0 … V - 1. Output: (N, …, C), the rows of the table.

    An index outside of the table counts as the nearest one inside, so that a device never reads beyond it; one that is no number (NaN)
    gives a row of such.
    """

    inputs_range: ClassVar[tuple[int, int]] = (2, 2)
    index_inputs: ClassVar[tuple[int, ...]] = (1,)
    same_quant: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        table, indices = inputs
        expect(table.rank == 2 and None not in table.shape and table.shape[0] != 0, self, f"a table has two axes, got shape {table.shape}")
        return ((*indices.shape, table.shape[1]),)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        table, indices = inputs
        rows = torch.nn.functional.embedding(indices.to(torch.int64).clamp(0, table.shape[0] - 1), table)
        return (torch.where(indices.isnan()[..., None], torch.nan, rows) if indices.is_floating_point() else rows,)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        return self.evaluate(inputs)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        last = outs[0].rank - 1
        rest = [Coupling(Axis("in", 1, axis), Axis("out", 0, axis)) for axis in range(1, last)]
        return (Coupling(Axis("in", 0, 1), Axis("out", 0, last)), *rest)

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return ins[0]
