"""Padding on any axis."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, Window, expect
from edgewright.ops.requant import tensor_quant

MODES = ("constant", "reflect")


@dataclass(frozen=True)
class Pad(Operator):
    """``padding`` is (before, after) for every axis; filled with ``value``, or mirrored around the edge element (mode reflect).

    The integer form fills with the integer nearest to ``value`` (TFLite's PAD for 0, PADV2 else), or mirrors (MIRROR_PAD).
    """

    padding: tuple[tuple[int, int], ...]
    value: float = 0.0
    mode: str = "constant"

    takes_int16: ClassVar[bool] = True
    same_quant: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        shape = inputs[0].shape
        expect(self.mode in MODES, self, f"unknown mode {self.mode!r}, one of {', '.join(MODES)}")
        expect(not math.isnan(self.value), self, "the value is not a number")
        fits = len(self.padding) == len(shape) and all(min(pair) >= 0 for pair in self.padding)
        expect(fits, self, f"padding {self.padding} does not fit shape {shape}")
        result: list[int | None] = []
        for size, pair in zip(shape, self.padding, strict=True):
            expect(size is not None or pair == (0, 0), self, "the symbolic batch cannot be padded")
            enough = size is None or self.mode == "constant" or max(pair) < size
            expect(enough, self, f"a mirror of {max(pair)} elements needs more than {size}")
            result.append(None if size is None else size + sum(pair))
        return (tuple(result),)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (self._fill(inputs[0], self.value),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        return (self._fill(inputs[0], self.fill_integer(outs)),)

    def fill_integer(self, outs: Sequence[Value]) -> int:
        """The integer that stands for ``value`` on the output's grid."""
        scale, zero_point = tensor_quant(outs[0])
        return int(np.clip(np.rint(self.value / scale) + zero_point, outs[0].dtype.minimum, outs[0].dtype.maximum))

    def _fill(self, x: Tensor, value: float) -> Tensor:
        if self.mode == "constant":
            flat = [amount for pair in reversed(self.padding) for amount in pair]
            return torch.nn.functional.pad(x, flat, value=value)
        for axis, (before, after) in enumerate(self.padding):
            if before or after:
                size = x.shape[axis]
                x = x.index_select(axis, torch.tensor([*range(before, 0, -1), *range(size), *range(size - 2, size - 2 - after, -1)]))
        return x

    def bounds(self, ins: Sequence[tuple[float, float]]) -> tuple[float, float]:
        low, high = ins[0]
        return (min(low, self.value), max(high, self.value)) if self.mode == "constant" else (low, high)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        found = []
        for axis in range(1, ins[0].rank):
            before, after = self.padding[axis]
            if self.mode == "constant" or before == after == 0:
                own = np.arange(ins[0].shape[axis] or 0, dtype=np.int64)
                found.append(Coupling(Axis("in", 0, axis), Axis("out", 0, axis), np.stack([own, own + before], axis=1)))
        return tuple(found)

    def resized(self, ins: Sequence[Value], removed: dict[Axis, NDArray[np.int64]]) -> Operator:
        padding = list(self.padding)
        for axis in range(1, len(padding)):
            gone = removed.get(Axis("out", 0, axis), np.zeros(0, np.int64))
            before, after = padding[axis]
            end = before + (ins[0].shape[axis] or 0)
            padding[axis] = (before - int(np.count_nonzero(gone < before)), after - int(np.count_nonzero(gone >= end)))
        return dataclasses.replace(self, padding=tuple(padding))

    def window(self, ins: Sequence[Value]) -> Window | None:
        if self.mode != "constant" or ins[0].rank != 4:
            return None
        return Window(padding=(self.padding[1], self.padding[2]))
