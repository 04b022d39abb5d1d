"""The user's data: calibration samples, and labels where accuracy is to be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Data:
    """Samples as real numbers, one array for each network input, the batch at axis 0; ``labels`` (N,) class indices where known."""

    inputs: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.int64] | None = None
    source: str = ""

    @property
    def count(self) -> int:
        """Number of samples."""
        return int(self.inputs[0].shape[0]) if self.inputs else 0

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> Data:
        """The samples at ``indices``."""
        return Data(tuple(array[indices] for array in self.inputs), None if self.labels is None else self.labels[indices], self.source)
