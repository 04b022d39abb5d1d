"""A part of a tensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window, expect


@dataclass(frozen=True)
class Slice(Operator):
    """Output: ``size`` elements from ``begin`` on, ``stride`` apart, along every axis; below zero they are taken backwards.

    A symbolic batch is taken whole: begin 0, size None, stride 1.
    """

    begin: tuple[int, ...]
    size: tuple[int | None, ...]
    stride: tuple[int, ...]

    takes_int16: ClassVar[bool] = True
    same_quant: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        shape = inputs[0].shape
        expect(len(self.begin) == len(self.size) == len(self.stride) == len(shape), self, "begin, size and stride must name all axes")
        for whole, begin, size, stride in zip(shape, self.begin, self.size, self.stride, strict=True):
            if whole is None or size is None:
                expect(whole is None and (begin, size, stride) == (0, None, 1), self, "a symbolic batch can only be taken whole")
            else:
                ends = begin, begin + (size - 1) * stride
                expect(size >= 1 and stride != 0 and min(ends) >= 0 and max(ends) < whole, self,
                       f"{size} elements from {begin} on, {stride} apart, do not fit into {whole}")
        return (self.size,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        parts, turned = [], []
        for axis, (begin, size, stride) in enumerate(zip(self.begin, self.size, self.stride, strict=True)):
            last = begin if size is None else begin + (size - 1) * stride
            parts.append(slice(None) if size is None else slice(min(begin, last), max(begin, last) + 1, abs(stride)))
            turned += [axis] if stride < 0 else []
        taken = inputs[0][tuple(parts)]
        return (taken.flip(turned) if turned else taken,)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        return self.evaluate(inputs)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        found = []
        for axis in range(1, ins[0].rank):
            if self.stride[axis] == 1:
                own = np.arange(self.size[axis] or 0, dtype=np.int64)
                found.append(Coupling(Axis("in", 0, axis), Axis("out", 0, axis), np.stack([own + self.begin[axis], own], axis=1)))
        return tuple(found)

    def resized(self, ins: Sequence[Value], removed: dict[Axis, NDArray[np.int64]]) -> Operator:
        begin, size = list(self.begin), list(self.size)
        for axis in range(1, len(begin)):
            begin[axis] -= int(np.count_nonzero(removed.get(Axis("in", 0, axis), np.zeros(0)) < self.begin[axis]))
            size[axis] = (size[axis] or 0) - len(removed.get(Axis("out", 0, axis), ()))
        return dataclasses.replace(self, begin=tuple(begin), size=tuple(size))

    def with_batch(self, batch: int | None) -> Operator:
        return dataclasses.replace(self, size=(batch, *self.size[1:]))

    def window(self, ins: Sequence[Value]) -> Window | None:
        shape = ins[0].shape
        whole = all(self.size[axis] == shape[axis] and self.stride[axis] == 1 for axis in range(1, min(3, len(shape))))
        return Window() if whole else None
