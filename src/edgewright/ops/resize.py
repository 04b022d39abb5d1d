"""Images made larger or smaller by interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Axis, Coupling, Operator, expect

MODES = ("nearest", "bilinear")
FRACTION_BITS = 10
"""Positions between pixels are held in 1/1024 by the integer bilinear form."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Resize(Operator):
    """Input: NHWC. Output: (N, *size, C).

    ``align_corners``: the centres of the corner pixels coincide; ``half_pixel_centers``: pixels are areas, not points (both as TensorFlow
    Lite defines them).
    """

    size: tuple[int, int]
    mode: str = "nearest"
    align_corners: bool = False
    half_pixel_centers: bool = False

    takes_int16: ClassVar[bool] = True
    same_quant: ClassVar[bool] = True
    homogeneous: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        shape = inputs[0].shape
        expect(self.mode in MODES, self, f"unknown mode {self.mode!r}, one of {', '.join(MODES)}")
        known = len(shape) == 4 and all(size is not None and size >= 1 for size in shape[1:3])
        expect(known, self, f"the input must be NHWC, got shape {shape}")
        expect(len(self.size) == 2 and min(self.size) >= 1, self, f"the size must be (height, width), got {self.size}")
        both = self.align_corners and self.half_pixel_centers
        expect(self.mode == "nearest" or not both, self, "align_corners excludes half_pixel_centers")
        return ((shape[0], *self.size, shape[3]),)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x = inputs[0]
        for axis in (1, 2):
            if self.mode == "nearest":
                x = _take(x, axis, self.nearest(x.shape[axis], self.size[axis - 1]))
                continue
            lower, upper, fraction = self.between(x.shape[axis], self.size[axis - 1])
            weight = torch.from_numpy(fraction).to(x.dtype).reshape([-1 if place == axis else 1 for place in range(4)])
            x = _take(x, axis, lower) * (1 - weight) + _take(x, axis, upper) * weight
        return (x,)

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        """TFLM's reference kernels; bilinear in 10-bit fixed point, rounded half away from zero."""
        if self.mode == "nearest":
            return self.evaluate(inputs)
        x = inputs[0].to(torch.int64)
        for axis in (1, 2):
            lower, upper, fraction = self.between_integer(x.shape[axis], self.size[axis - 1])
            weight = torch.from_numpy(fraction).reshape([-1 if place == axis else 1 for place in range(4)])
            x = _take(x, axis, lower) * ((1 << FRACTION_BITS) - weight) + _take(x, axis, upper) * weight
        half = 1 << (2 * FRACTION_BITS - 1)
        rounded = torch.div(x + torch.where(x > 0, half, -half), 1 << (2 * FRACTION_BITS), rounding_mode="trunc")
        return (rounded.to(torch.int32),)

    def nearest(self, before: int, after: int) -> Indices:
        """For each of ``after`` output positions along one axis, the input position (of ``before``) it copies."""
        positions = (np.arange(after, dtype=np.float32) + np.float32(0.5 if self.half_pixel_centers else 0.0)) * self._scale(before, after)
        steps = np.floor(positions.astype(np.float64) + 0.5) if self.align_corners else np.floor(positions)
        return np.clip(steps.astype(np.int64), 0, before - 1)

    def between(self, before: int, after: int) -> tuple[Indices, Indices, NDArray[np.float32]]:
        """(lower neighbour, upper neighbour, distance from the lower) of each output position along one axis; float form."""
        half = np.float32(0.5 if self.half_pixel_centers else 0.0)
        positions = (np.arange(after, dtype=np.float32) + half) * self._scale(before, after) - half
        lower = np.maximum(np.floor(positions).astype(np.int64), 0)
        upper = np.minimum(np.ceil(positions).astype(np.int64), before - 1)
        return np.minimum(lower, before - 1), upper, (positions - lower.astype(np.float32)).astype(np.float32)

    def between_integer(self, before: int, after: int) -> tuple[Indices, Indices, Indices]:
        """(lower neighbour, upper neighbour, distance from the lower in 1/1024) of each output position along one axis; integer form."""
        one = 1 << FRACTION_BITS
        if self.align_corners and after > 1:
            scale = (one * (before - 1) + (after - 1) // 2) // (after - 1)
        else:
            scale = (one * before + after // 2) // after
        positions = np.arange(after, dtype=np.int64) * scale
        if self.half_pixel_centers:
            positions = positions + scale // 2 - one // 2
        lower = np.clip(np.trunc(positions / one).astype(np.int64), 0, before - 1)
        upper = np.minimum(np.trunc((positions + one - 1) / one).astype(np.int64), before - 1)
        return lower, upper, positions - one * lower

    def _scale(self, before: int, after: int) -> np.float32:
        if self.align_corners and after > 1:
            return np.float32(before - 1) / np.float32(after - 1)
        return np.float32(before) / np.float32(after)

    def macs(self, ins: Sequence[Value], outs: Sequence[Value]) -> int:
        return 4 * outs[0].elements if self.mode == "bilinear" else 0

    def couplings(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Coupling, ...] | None:
        return (Coupling(Axis("in", 0, 3), Axis("out", 0, 3)),)


def _take(x: Tensor, axis: int, indices: Indices) -> Tensor:
    return x.index_select(axis, torch.from_numpy(indices))
