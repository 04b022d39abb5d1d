"""Element types of values, and the affine quantization that maps integers to reals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError

Number = TypeVar("Number", bound=np.generic)


class DType(str, Enum):
    """Element type of a value. int2 to int4 are held in int8 arrays, one number a byte; emitters pack them."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT2 = "int2"
    INT3 = "int3"
    INT4 = "int4"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"

    @property
    def bits(self) -> int:
        return int(self.value.removeprefix("float").removeprefix("int"))

    @property
    def is_integer(self) -> bool:
        return self.value.startswith("int")

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy type that holds one element (int8 for narrower ones)."""
        return np.dtype("int8" if self.bits < 8 else self.value)

    @property
    def minimum(self) -> int:
        """The smallest integer; integer types only."""
        return -(1 << (self.bits - 1))

    @property
    def maximum(self) -> int:
        """The largest integer; integer types only."""
        return (1 << (self.bits - 1)) - 1

    def bytes_of(self, elements: int) -> int:
        """Bytes that ``elements`` packed elements take."""
        return (elements * self.bits + 7) // 8


@dataclass(frozen=True)
class Quant:
    """Affine quantization: real = scale * (integer - zero_point), as in the TensorFlow Lite quantization specification.

    One scale and zero point for the whole tensor (``axis`` is None), or one for each index along ``axis``.
    Scales are float32 numbers (held as Python floats), because files hold them so and every runtime starts from that.
    """

    dtype: DType
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    def __post_init__(self) -> None:
        if not self.dtype.is_integer:
            raise ModelError(f"a quantized value needs an integer type, got {self.dtype.value}")
        if len(self.scale) != len(self.zero_point) or not self.scale or (self.axis is None and len(self.scale) != 1):
            counts = f"{len(self.scale)} scales and {len(self.zero_point)} zero points"
            raise ModelError(f"{counts} do not describe a quantization along axis {self.axis}", hint="the file is damaged")
        scales = np.asarray(self.scale, dtype=np.float32)
        if not np.all(np.isfinite(scales)) or np.any(scales <= 0):
            raise ModelError("quantization scales must be finite and positive",
                             hint="the file is damaged, or the tensor was never calibrated")
        low, high = self.dtype.minimum, self.dtype.maximum
        if any(not low <= z <= high for z in self.zero_point):
            raise ModelError(f"a zero point lies outside of {self.dtype.value}")
        object.__setattr__(self, "scale", tuple(float(s) for s in scales))
        object.__setattr__(self, "zero_point", tuple(int(z) for z in self.zero_point))

    @staticmethod
    def per_tensor(scale: float, zero_point: int = 0, dtype: DType = DType.INT8) -> Quant:
        return Quant(dtype, (float(scale),), (int(zero_point),))

    @staticmethod
    def per_axis(scale: NDArray[np.floating], axis: int, dtype: DType = DType.INT8) -> Quant:
        """Symmetric (zero point 0), one scale for each index along ``axis``."""
        return Quant(dtype, tuple(float(s) for s in scale), (0,) * len(scale), axis)

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> Quant:
        """The scales and zero points at ``indices`` along ``axis``, in that order; one for the whole tensor stays as it is."""
        if self.axis is None:
            return self
        return Quant(self.dtype, tuple(self.scale[i] for i in indices), tuple(self.zero_point[i] for i in indices), self.axis)

    def scales(self, rank: int) -> NDArray[np.float32]:
        """Scales shaped to broadcast against a tensor of ``rank`` axes."""
        return self._shaped(np.asarray(self.scale, dtype=np.float32), rank)

    def zero_points(self, rank: int) -> NDArray[np.int32]:
        """Zero points shaped to broadcast against a tensor of ``rank`` axes."""
        return self._shaped(np.asarray(self.zero_point, dtype=np.int32), rank)

    def _shaped(self, array: NDArray[Number], rank: int) -> NDArray[Number]:
        if self.axis is None:
            return array.reshape(())
        shape = [1] * rank
        shape[self.axis] = len(array)
        return array.reshape(shape)

    def to_integer(self, real: NDArray[np.floating]) -> NDArray[np.generic]:
        """Nearest integers (ties to even) of ``real``, clamped to the type; same shape."""
        steps = np.rint(np.asarray(real, dtype=np.float64) / self.scales(real.ndim)) + self.zero_points(real.ndim)
        return np.clip(steps, self.dtype.minimum, self.dtype.maximum).astype(self.dtype.numpy)

    def to_real(self, integer: NDArray[np.generic]) -> NDArray[np.float32]:
        """The reals that ``integer`` stands for; same shape."""
        centred = integer.astype(np.float64) - self.zero_points(integer.ndim)
        real: NDArray[np.float32] = (centred * self.scales(integer.ndim)).astype(np.float32)
        return real


INDEX_QUANT = Quant(DType.INT32, (1.0,), (0,))
"""Of whole numbers that choose elements (tokens): the integer is the number."""
