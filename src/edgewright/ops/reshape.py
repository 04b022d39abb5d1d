"""The same elements in the same order, with other axes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, expect


@dataclass(frozen=True)
class Reshape(Operator):
    """Input: any shape. Output: ``shape``, given in full; its first entry is None where the batch is symbolic."""

    shape: tuple[int | None, ...]

    takes_int16: ClassVar[bool] = True
    same_quant: ClassVar[bool] = True
    homogeneous: ClassVar[bool] = True
    view: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        x = inputs[0]
        expect(all(size is not None for size in self.shape[1:]) and all(size is None or size >= 0 for size in self.shape), self,
               f"the target shape {self.shape} must be known but for the batch")
        symbolic = x.shape[:1] == (None,), self.shape[:1] == (None,)
        expect(symbolic[0] == symbolic[1], self, f"the batch of input shape {x.shape} must stay the first axis of {self.shape}")
        expect(_elements(x.shape) == _elements(self.shape), self, f"input shape {x.shape} has not as many elements as {self.shape}")
        return (self.shape,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        sizes = [size for size in self.shape if size is not None]
        return (inputs[0].reshape([inputs[0].shape[0], *sizes] if len(sizes) < len(self.shape) else sizes),)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        return self.evaluate(inputs)

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        """Axes that stay are coupled one to one. Where several become one (or one several), only one of them can lose indices: the last
        where all axes are flattened (channels), else the largest (the channels within a group)."""
        shape = ins[0].shape
        if not shape or not self.shape or shape[0] != self.shape[0] or 0 in (*shape, *self.shape):
            return None
        found: list[Coupling] = []
        for before, after in _blocks(shape, self.shape):
            if len(before) == 1 and len(after) == 1:
                found.append(Coupling(Axis("in", 0, before[0]), Axis("out", 0, after[0])))
            elif len(after) == 1:
                axis, pairs = _within(shape, before)
                found.append(Coupling(Axis("in", 0, axis), Axis("out", 0, after[0]), pairs))
            elif len(before) == 1:
                axis, pairs = _within(self.shape, after)
                found.append(Coupling(Axis("in", 0, before[0]), Axis("out", 0, axis), pairs[:, ::-1].copy()))
        return tuple(found)

    def resized(self, ins: Sequence[Value], removed: dict[Axis, NDArray[np.int64]]) -> Operator:
        shape = [None if size is None else size - len(removed.get(Axis("out", 0, axis), ())) for axis, size in enumerate(self.shape)]
        return dataclasses.replace(self, shape=tuple(shape))

    def with_batch(self, batch: int | None) -> Operator:
        return dataclasses.replace(self, shape=(batch, *self.shape[1:]))

    def in_place(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[int, ...]:
        return (0,)


def _elements(shape: Shape) -> int:
    return math.prod(size for size in shape if size is not None)


def _blocks(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """The finest division of both shapes into runs of axes with equal products, without the batch and without axes of size 1."""
    left = [axis for axis in range(1, len(before)) if before[axis] != 1]
    right = [axis for axis in range(1, len(after)) if after[axis] != 1]
    blocks: list[tuple[list[int], list[int]]] = []
    while left and right:
        first, second = [left.pop(0)], [right.pop(0)]
        while (difference := math.prod(before[axis] or 0 for axis in first) - math.prod(after[axis] or 0 for axis in second)) != 0:
            if difference < 0:
                first.append(left.pop(0))
            else:
                second.append(right.pop(0))
        blocks.append((first, second))
    return blocks


def _within(shape: Shape, axes: list[int]) -> tuple[int, NDArray[np.int64]]:
    """Of the merged ``axes``, the one that can lose indices, and the pairs (index along it, index along the merged axis)."""
    sizes = [shape[axis] or 0 for axis in axes]
    whole = math.prod(sizes) == _elements(shape[1:])
    place = len(axes) - 1 if whole else int(np.argmax(sizes))
    merged = np.arange(math.prod(sizes), dtype=np.int64)
    own = np.unravel_index(merged, sizes)[place].astype(np.int64)
    return axes[place], np.stack([own, merged], axis=1)
