"""Concatenation along one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window, expect
from edgewright.ops.pointwise import same_axes


@dataclass(frozen=True)
class Concat(Operator):
    """Inputs: one or more, equal in shape but for ``axis`` (counted from 0). Output: one after the other along it."""

    axis: int = 3

    takes_int16: ClassVar[bool] = True
    inputs_range: ClassVar[tuple[int, int]] = (1, 1 << 16)
    same_quant: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        first = inputs[0].shape
        expect(0 <= self.axis < len(first), self, f"axis {self.axis} does not exist in shape {first}")
        rest = {value.shape[:self.axis] + value.shape[self.axis + 1:] for value in inputs}
        expect(len(rest) == 1 and len({value.rank for value in inputs}) == 1, self,
               f"the inputs differ beside axis {self.axis}: {', '.join(str(value.shape) for value in inputs)}")
        expect(all(value.shape[self.axis] is not None for value in inputs), self, "it cannot join along the symbolic batch")
        return ((*first[:self.axis], sum(value.shape[self.axis] or 0 for value in inputs), *first[self.axis + 1:]),)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (torch.cat(list(inputs), self.axis),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        return self.evaluate(inputs)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        found: list[Coupling] = []
        offset = 0
        for index, value in enumerate(ins):
            found += [coupling for coupling in same_axes(value, index) if coupling.first.axis != self.axis]
            size = value.shape[self.axis] or 0
            if self.axis > 0:
                own = np.arange(size, dtype=np.int64)
                found.append(Coupling(Axis("in", index, self.axis), Axis("out", 0, self.axis), np.stack([own, own + offset], axis=1)))
            offset += size
        return tuple(found)

    def window(self, ins: Sequence[Value]) -> Window | None:
        return Window() if len(ins) == 1 or self.axis not in (1, 2) else None
